//! A plan with fewer steps, which computes the same.
//!
//! What is done here needs every slot to be written once, which it is until slots are shared.

use std::collections::HashMap;

use super::slots::{read, slot_of, written};
use crate::plan::{Dimension, Kind, Matrix, Place, Plan, Step, Term, Value};

/// Leaves out what nobody reads, and moves that others undo or go on with; those that stay are done
/// right before what reads them, and behind products, which then have the rows of the batch in order.
pub(super) fn tidy(plan: &mut Plan) {
    multiply_first(plan);
    follow_moves(plan);
    join_in_order(plan);
    drop_unread(plan);
    delay_moves(plan);
}

/// Who writes and who reads each slot.
struct Flow {
    writers: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
    is_answered: Vec<bool>,
}

impl Flow {
    fn of(plan: &Plan) -> Self {
        let slots = plan.slots as usize;
        let mut flow = Self {
            writers: vec![None; slots],
            readers: vec![vec![]; slots],
            is_answered: vec![false; slots],
        };
        for (at, step) in plan.steps.iter().enumerate() {
            if let Some(entry) =
                slot_of(plan, written(step)).and_then(|it| flow.writers.get_mut(it))
            {
                *entry = Some(at);
            }
            for value in read(step) {
                if let Some(readers) = slot_of(plan, value).and_then(|it| flow.readers.get_mut(it))
                {
                    readers.push(at);
                }
            }
        }
        for output in &plan.outputs {
            if let Some(entry) = slot_of(plan, *output).and_then(|it| flow.is_answered.get_mut(it))
            {
                *entry = true;
            }
        }
        flow
    }

    /// Who reads what a step writes, where it is not answered.
    fn readers(&self, plan: &Plan, step: &Step) -> Option<&[usize]> {
        let slot = slot_of(plan, written(step))?;
        let is_answered = *self.is_answered.get(slot)?;
        (!is_answered).then(|| self.readers.get(slot).map(Vec::as_slice))?
    }
}

/// Turns moves that only put rows into another order and the products of these rows about: rows of a product
/// know nothing of one another.
fn multiply_first(plan: &mut Plan) {
    replace(plan, |plan, flow, dimensions, steps, step| {
        turned(plan, flow, dimensions, steps, step).map(Vec::from)
    });
}

/// Puts what `by` makes of a step in its place, where it makes something. It is given all steps as they
/// were, and may add values and slots.
fn replace(
    plan: &mut Plan,
    by: impl Fn(&mut Plan, &Flow, &mut Dimensions, &[Step], &Step) -> Option<Vec<Step>>,
) {
    let flow = Flow::of(plan);
    let mut dimensions = Dimensions::of(plan);
    let old = std::mem::take(&mut plan.steps);
    let mut steps = Vec::with_capacity(old.len());
    for step in &old {
        match by(plan, &flow, &mut dimensions, &old, step) {
            Some(made) => steps.extend(made),
            None => steps.push(step.clone()),
        }
    }
    plan.steps = steps;
    plan.dimensions = dimensions.all;
}

/// A product of moved rows as a move of a product, where nobody else reads what was moved. Dimensions of 1
/// come and go.
fn turned(
    plan: &mut Plan,
    flow: &Flow,
    dimensions: &mut Dimensions,
    steps: &[Step],
    step: &Step,
) -> Option<[Step; 2]> {
    let Step::Product { input, matrix, output, relu } = *step else { return None };
    let first = steps.get((*flow.writers.get(slot_of(plan, input)?)?)?)?;
    let Step::Move { input: from, output: moved, axes, starts } = first else { return None };
    let is_read_once = flow.readers(plan, first)?.len() == 1;
    if !is_read_once || starts.iter().any(|it| dimensions.number(*it) != Some(0)) {
        return None;
    }
    let shape = |value: u32| plan.values.get(value as usize).map(|it| it.shape.as_slice());
    let (from_shape, moved_shape, to_shape) = (shape(*from)?, shape(*moved)?, shape(output)?);
    let rows = reordered(dimensions, from_shape, moved_shape, axes)?;
    let Matrix { inner, columns, .. } = *plan.matrices.get(matrix as usize)?;
    let (rows, last) = if inner == 1 {
        (rows.as_slice(), None)
    } else {
        rows.split_last().map(|(last, rows)| (rows, Some(*last)))?
    };
    let is_last = |last: usize| {
        let dim = from_shape.get(last).and_then(|dim| dimensions.number(*dim));
        dim == Some(inner) && rows.iter().all(|row| *row < last)
    };
    if rows.is_sorted() || !last.is_none_or(is_last) {
        return None;
    }
    let mut natural = rows.to_vec();
    natural.sort_unstable();
    // Where each dimension of the output is in the product.
    let mut left = rows.iter();
    let mut to_axes = vec![];
    let mut has_columns = columns == 1;
    for dim in to_shape {
        let axis = if dimensions.number(*dim) == Some(1) {
            natural.len() + 1
        } else if let Some(row) = left.next() {
            let same = from_shape.get(*row) == Some(dim);
            natural.iter().position(|it| it == row).filter(|_| same)?
        } else {
            let is_new = !std::mem::replace(&mut has_columns, true);
            (is_new && dimensions.number(*dim) == Some(columns)).then_some(natural.len())?
        };
        to_axes.push(axis as u32);
    }
    if left.next().is_some() || !has_columns {
        return None;
    }
    let mut shape: Vec<u32> =
        natural.iter().filter_map(|at| from_shape.get(*at)).copied().collect();
    shape.push(dimensions.find(Dimension::fixed(i64::try_from(columns).ok()?)));
    let place = Place::Slot(plan.slots);
    plan.slots += 1;
    plan.values.push(Value { kind: Kind::F32, shape, place });
    let product = plan.values.len() as u32 - 1;
    Some([
        Step::Product { input: *from, matrix, output: product, relu },
        Step::Move { input: product, output, axes: to_axes, starts: vec![] },
    ])
}

/// The dimensions of `from` but those of 1, in the order in which `axes` moves them. None where it does more
/// than that.
fn reordered(
    dimensions: &Dimensions,
    from: &[u32],
    to: &[u32],
    axes: &[u32],
) -> Option<Vec<usize>> {
    let is_one = |dim: u32| dimensions.number(dim) == Some(1);
    let mut order = vec![];
    for (axis, dim) in axes.iter().zip(to) {
        let is_same = from.get(*axis as usize) == Some(dim);
        match (is_one(*dim), is_same) {
            (true, _) => {}
            (false, true) => order.push(*axis as usize),
            (false, false) => return None,
        }
    }
    let mut sorted = order.clone();
    sorted.sort_unstable();
    let all = (0..from.len()).filter(|at| from.get(*at).is_some_and(|dim| !is_one(*dim)));
    all.eq(sorted).then_some(order)
}

/// A move of what another one moved reads where that does, where nobody else reads what is between.
fn follow_moves(plan: &mut Plan) {
    let flow = Flow::of(plan);
    let mut dimensions = Dimensions::of(plan);
    for at in 0..plan.steps.len() {
        let Some(Step::Move { input, output, .. }) = plan.steps.get(at) else { continue };
        let (input, output) = (*input, *output);
        let Some(slot) = slot_of(plan, input) else { continue };
        let first = flow.writers.get(slot).copied().flatten().and_then(|it| plan.steps.get(it));
        let Some(first @ Step::Move { .. }) = first else { continue };
        let is_move = |it: &usize| matches!(plan.steps.get(*it), Some(Step::Move { .. }));
        if !flow.readers(plan, first).is_some_and(|readers| readers.iter().all(is_move)) {
            continue;
        }
        let Some(both) = both(plan, &mut dimensions, first, at) else { continue };
        let Both { from, axes, starts } = both;
        if let Some(step) = plan.steps.get_mut(at) {
            *step = Step::Move { input: from, output, axes, starts };
        }
    }
    plan.dimensions = dimensions.all;
}

/// Two moves as one.
struct Both {
    from: u32,
    axes: Vec<u32>,
    starts: Vec<u32>,
}

fn both(plan: &Plan, dimensions: &mut Dimensions, first: &Step, second: usize) -> Option<Both> {
    let (
        Step::Move { input: from, output: between, axes: first_axes, starts: first_starts },
        Step::Move { input, output, axes, starts },
    ) = (first, plan.steps.get(second)?)
    else {
        return None;
    };
    let shape = |value: u32| plan.values.get(value as usize).map(|it| it.shape.as_slice());
    let (between, read, to) = (shape(*between)?, shape(*input)?, shape(*output)?);
    let rank = shape(*from)?.len();
    let same = same_axes(dimensions, between, read)?;
    let zero = dimensions.find(Dimension::fixed(0));
    let mut both = Both { from: *from, axes: vec![], starts: first_starts.clone() };
    both.starts.resize(rank, zero);
    for (axis, dim) in axes.iter().zip(to) {
        // Along a dimension of 1 that was put in between, there is one element.
        let along = same.get(*axis as usize).copied().flatten();
        let is_one = dimensions.number(*dim) == Some(1);
        both.axes.push(match along {
            Some(along) => *first_axes.get(along)?,
            None if is_one || *axis as usize >= read.len() => rank as u32,
            None => return None,
        });
    }
    for (along, start) in same.iter().zip(starts) {
        if dimensions.number(*start) == Some(0) {
            continue;
        }
        let axis = *first_axes.get((*along)?)? as usize;
        if let Some(first) = both.starts.get_mut(axis) {
            *first = dimensions.sum(*first, *start)?;
        }
    }
    Some(both)
}

/// Which dimension of `between` each of `read` is, which has the same elements: none for those of 1 that
/// it has more. None at all where they differ in others.
fn same_axes(dimensions: &Dimensions, between: &[u32], read: &[u32]) -> Option<Vec<Option<usize>>> {
    let is_one = |dim: &u32| dimensions.number(*dim) == Some(1);
    let mut left = between.iter().enumerate().filter(|(_, dim)| !is_one(dim));
    let same = read.iter().map(|dim| {
        if is_one(dim) {
            return Some(None);
        }
        let (at, other) = left.next()?;
        (other == dim).then_some(Some(at))
    });
    let same = same.collect::<Option<Vec<_>>>()?;
    left.next().is_none().then_some(same)
}

/// How deep pieces of pieces are looked into.
const DEEPEST: usize = 3;

/// Joins pieces at once in the order in which what is joined is moved, where each piece stays as it is or is
/// itself joined, and nobody else reads what is between.
fn join_in_order(plan: &mut Plan) {
    for _ in 0..DEEPEST {
        // What was joined before reads no more.
        drop_unread(plan);
        replace(plan, joined);
    }
}

fn joined(
    plan: &mut Plan,
    flow: &Flow,
    dimensions: &mut Dimensions,
    steps: &[Step],
    step: &Step,
) -> Option<Vec<Step>> {
    let Step::Move { input, output, axes, starts } = step else { return None };
    let (input, output) = (*input, *output);
    let writer = |plan: &Plan, value: u32| {
        let step = steps.get((*flow.writers.get(slot_of(plan, value)?)?)?)?;
        let is_read_once = flow.readers(plan, step)?.len() == 1;
        (is_read_once && matches!(step, Step::Concat { .. })).then_some(step)
    };
    let Step::Concat { axis, inputs, output: between } = writer(plan, input)? else { return None };
    if starts.iter().any(|it| dimensions.number(*it) != Some(0)) {
        return None;
    }
    let shape = |value: u32| plan.values.get(value as usize).map(|it| it.shape.as_slice());
    let (between, read, to) = (shape(*between)?, shape(input)?, shape(output)?);
    // All of it, and nothing twice.
    reordered(dimensions, read, to, axes)?;
    let same = same_axes(dimensions, between, read)?;
    // For each dimension of the output, which one of the pieces it is.
    let along = |axis: &u32| same.get(*axis as usize).copied().flatten();
    let along: Vec<Option<usize>> = axes.iter().map(along).collect();
    let new_axis = along.iter().position(|it| *it == Some(*axis as usize))? as u32;
    let one = dimensions.find(Dimension::fixed(1));
    let is_one = |dim: u32| dimensions.number(dim) == Some(1);
    let (mut pieces, mut moves) = (vec![], vec![]);
    let (mut slots, first) = (plan.slots, plan.values.len() as u32);
    for piece in inputs {
        let Value { kind, shape, place } = plan.values.get(*piece as usize)?;
        let order =
            along.iter().flatten().filter(|at| shape.get(**at).is_some_and(|dim| !is_one(*dim)));
        let mut place = *place;
        if !order.is_sorted() {
            writer(plan, *piece)?;
            place = Place::Slot(slots);
            slots += 1;
            let axes = along.iter().map(|at| at.unwrap_or(shape.len()) as u32).collect();
            let output = first + pieces.len() as u32;
            moves.push(Step::Move { input: *piece, output, axes, starts: vec![] });
        }
        let shape = along.iter().map(|at| at.map_or(Some(one), |at| shape.get(at).copied()));
        pieces.push(Value { kind: *kind, shape: shape.collect::<Option<_>>()?, place });
    }
    let inputs = (first..).take(pieces.len()).collect();
    plan.values.extend(pieces);
    plan.slots = slots;
    moves.push(Step::Concat { axis: new_axis, inputs, output });
    Some(moves)
}

/// The dimensions of a plan, to which some are added.
struct Dimensions {
    all: Vec<Dimension>,
    places: HashMap<Dimension, u32>,
}

impl Dimensions {
    fn of(plan: &Plan) -> Self {
        let all = plan.dimensions.clone();
        let places = all.iter().enumerate().map(|(at, it)| (it.clone(), at as u32)).collect();
        Self { all, places }
    }

    fn number(&self, at: u32) -> Option<u64> {
        self.all.get(at as usize)?.number()
    }

    fn find(&mut self, dimension: Dimension) -> u32 {
        let next = self.all.len() as u32;
        *self.places.entry(dimension).or_insert_with_key(|dimension| {
            self.all.push(dimension.clone());
            next
        })
    }

    /// The sum of two, where that is a number or one of them is 0.
    fn sum(&mut self, left: u32, right: u32) -> Option<u32> {
        match (self.number(left), self.number(right)) {
            (_, Some(0)) => Some(left),
            (Some(0), _) => Some(right),
            (Some(left), Some(right)) => {
                let sum = i64::try_from(left.checked_add(right)?).ok()?;
                Some(self.find(Dimension { terms: vec![Term::Number(sum)] }))
            }
            _ => None,
        }
    }
}

fn drop_unread(plan: &mut Plan) {
    let mut is_read = vec![false; plan.slots as usize];
    let note = |plan: &Plan, is_read: &mut [bool], value: u32| {
        if let Some(entry) = slot_of(plan, value).and_then(|it| is_read.get_mut(it)) {
            *entry = true;
        }
    };
    plan.outputs.iter().for_each(|it| note(plan, &mut is_read, *it));
    let mut steps = std::mem::take(&mut plan.steps);
    let mut kept = vec![];
    while let Some(step) = steps.pop() {
        if slot_of(plan, written(&step)).is_none_or(|it| is_read.get(it) == Some(&true)) {
            read(&step).into_iter().for_each(|it| note(plan, &mut is_read, it));
            kept.push(step);
        }
    }
    kept.reverse();
    plan.steps = kept;
}

/// Does each move right before the first step that reads it, which may then be done with it.
fn delay_moves(plan: &mut Plan) {
    let flow = Flow::of(plan);
    let mut before: Vec<Vec<usize>> = vec![vec![]; plan.steps.len()];
    let mut order: Vec<usize> = vec![];
    for (at, step) in plan.steps.iter().enumerate() {
        let readers = flow.readers(plan, step).filter(|_| matches!(step, Step::Move { .. }));
        let reader = readers.and_then(|it| it.first()).and_then(|it| before.get_mut(*it));
        if let Some(before) = reader {
            before.push(at);
            continue;
        }
        let mut stack = vec![(at, false)];
        while let Some((at, is_next)) = stack.pop() {
            if is_next {
                order.push(at);
                continue;
            }
            stack.push((at, true));
            let before = before.get(at).into_iter().flatten().rev();
            stack.extend(before.map(|it| (*it, false)));
        }
    }
    let mut steps: Vec<Option<Step>> =
        std::mem::take(&mut plan.steps).into_iter().map(Some).collect();
    plan.steps = order.iter().filter_map(|at| steps.get_mut(*at)?.take()).collect();
}

/// Leaves out values that no step reads or writes, and all but one of those that are the same: once slots
/// are shared, what the turns of a loop compute lies at the same places.
pub(super) fn merge_values(plan: &mut Plan) {
    let mut used = vec![false; plan.values.len()];
    let mut note = |value: u32| {
        if let Some(used) = used.get_mut(value as usize) {
            *used = true;
        }
    };
    plan.steps
        .iter()
        .for_each(|step| read(step).into_iter().chain([written(step)]).for_each(&mut note));
    plan.outputs.iter().copied().for_each(&mut note);
    let mut known: HashMap<(Kind, Vec<u32>, Place), u32> = HashMap::new();
    let (mut values, mut places) = (vec![], vec![]);
    for (value, used) in std::mem::take(&mut plan.values).into_iter().zip(used) {
        if !used && !matches!(value.place, Place::Input(_)) {
            places.push(0);
            continue;
        }
        let next = values.len() as u32;
        let place = *known.entry((value.kind, value.shape.clone(), value.place)).or_insert(next);
        places.push(place);
        if place == next {
            values.push(value);
        }
    }
    plan.values = values;
    let renamed = |value: &mut u32| *value = places.get(*value as usize).copied().unwrap_or(*value);
    plan.outputs.iter_mut().for_each(renamed);
    plan.steps.iter_mut().for_each(|step| rename(step, renamed));
}

fn rename(step: &mut Step, renamed: impl Fn(&mut u32)) {
    match step {
        Step::Product { input, output, .. }
        | Step::Unary { input, output, .. }
        | Step::Cast { input, output }
        | Step::Move { input, output, .. }
        | Step::Category { input, output, .. }
        | Step::Softmax { input, output, .. }
        | Step::Reduce { input, output, .. }
        | Step::RmsNorm { input, output, .. } => [input, output].into_iter().for_each(renamed),
        Step::MatMul { left, right, output, .. } | Step::Binary { left, right, output, .. } => {
            [left, right, output].into_iter().for_each(renamed);
        }
        Step::Gather { table, indices, output, .. } => {
            [table, indices, output].into_iter().for_each(renamed);
        }
        Step::Select { condition, yes, no, output } => {
            [condition, yes, no, output].into_iter().for_each(renamed);
        }
        Step::Concat { inputs, output, .. } => inputs.iter_mut().chain([output]).for_each(renamed),
        Step::Window { input, weights, output, .. } => {
            [input, output].into_iter().chain(weights).for_each(renamed);
        }
    }
}
