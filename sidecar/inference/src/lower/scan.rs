//! Loops, turn by turn.
//!
//! tract makes a loop of a recurrent operator and of a Scan: a body that is done once for each piece of
//! some tensors, over what the turn before left. Plans have no loops. Where the number of turns is
//! known, the body's steps are there once for each of them, over the same matrices and constants.

use std::collections::HashSet;

use tract_onnx::{
    prelude::{OutletId, TDim, TypedModel, TypedNode},
    tract_core::ops::scan::{InputMapping, OutputMapping, Scan, ScanInfo},
};

use super::graph::{Because, Lowering, Scope};
use crate::plan::Step;

/// The most turns of a loop.
pub(super) const MOST_TURNS: usize = 256;
/// The most nodes that the loops of a graph come to, however they lie in one another: so many steps take
/// longer than their loop would, and no file makes a plan without end.
const MOST_NODES: usize = 1 << 15;

impl<'m> Lowering<'m> {
    /// The loop at a node of the model.
    pub(super) fn scan(&mut self, node: usize) -> Because<()> {
        let model = self.model;
        let node = model.node(node);
        let op = node.op_as::<Scan>().ok_or("no loop")?;
        if op.skip != 0 {
            return Err("a loop that skips its first turns".to_owned());
        }
        let turns = self.turns(node, op)?;
        let given = node.inputs.iter().map(|it| self.value(*it)).collect::<Because<Vec<u32>>>()?;
        let made = self.done_in_turns(op, turns, &given)?;
        for (made, mapping) in made.iter().zip(&op.output_mapping) {
            self.answer(node, mapping, made)?;
        }
        Ok(())
    }

    /// How many turns a loop has.
    fn turns(&self, node: &TypedNode, op: &Scan) -> Because<usize> {
        let mut turns = None;
        for (input, mapping) in node.inputs.iter().zip(&op.input_mapping) {
            let Some(info) = mapping.as_scan() else { continue };
            let shape = self.shape_of(*input)?;
            let dim = shape.get(info.axis).ok_or("a loop along an axis that there is not")?;
            let TDim::Val(length) = dim else {
                return Err(format!("a sequence of open length ({dim}): give it a fixed one"));
            };
            let length = usize::try_from(*length).map_err(|error| error.to_string())?;
            let each = info.chunk.unsigned_abs();
            if each == 0
                || !length.is_multiple_of(each)
                || *turns.get_or_insert(length / each) != length / each
            {
                return Err("a loop over pieces that do not come out even".to_owned());
            }
        }
        match turns {
            None | Some(0) => Err("a loop over nothing".to_owned()),
            Some(turns) if turns > MOST_TURNS => {
                Err(format!("a loop of {turns} turns, more than {MOST_TURNS}"))
            }
            Some(turns) => Ok(turns),
        }
    }

    /// What the body makes, for each of its outputs turn after turn.
    fn done_in_turns(
        &mut self,
        op: &'m Scan,
        turns: usize,
        given: &[u32],
    ) -> Because<Vec<Vec<u32>>> {
        let body = &op.body;
        let refused = |error: tract_onnx::prelude::TractError| error.to_string();
        let inputs = body.input_outlets().map_err(refused)?;
        let outputs = body.output_outlets().map_err(refused)?;
        let order = body.eval_order().map_err(refused)?;
        let changing = changing(body, op, inputs, &order);
        let mut states: Vec<u32> = vec![];
        let bindings = given.iter().zip(inputs).zip(&op.input_mapping);
        for ((value, _), mapping) in bindings.clone() {
            if mapping.is_state() {
                states.push(*value);
            }
        }
        let mut made = vec![vec![]; outputs.len()];
        let outer = self.enter(body, Scope::default());
        for turn in 0..turns {
            self.work = self.work.saturating_add(order.len() + 1);
            if self.work > MOST_NODES {
                return Err(format!("loops of more than {MOST_NODES} nodes in all"));
            }
            let mut before = states.iter();
            for ((value, inner), mapping) in bindings.clone() {
                match mapping {
                    InputMapping::Full if turn > 0 => {}
                    InputMapping::Full => self.bind(*inner, *value)?,
                    InputMapping::State => {
                        let state = before.next().ok_or("a loop with a state too few")?;
                        self.bind(*inner, *state)?;
                    }
                    InputMapping::Scan(info) => self.bind_piece(*inner, *value, *info, turn)?,
                }
            }
            for at in &order {
                let node = body.node(*at);
                let is_there = turn > 0 && !changing.contains(at);
                if !is_there {
                    self.node(node).map_err(|detail| {
                        format!("in its body, {} at node `{}`: {detail}", node.op.name(), node.name)
                    })?;
                }
            }
            states.clear();
            for ((outlet, mapping), made) in outputs.iter().zip(&op.output_mapping).zip(&mut made) {
                let value = self.value(*outlet)?;
                made.push(value);
                if mapping.state {
                    states.push(value);
                }
            }
            self.forget(|outlet| changing.contains(&outlet.node));
        }
        self.leave(outer);
        Ok(made)
    }

    /// Says that an input of the body is this value, which may have other dimensions of 1 beside its own.
    fn bind(&mut self, inner: OutletId, value: u32) -> Because<()> {
        let (kind, shape) = (self.kind_of(inner)?, self.shape_of(inner)?);
        let dims = shape.iter().map(|dim| self.dimension(dim)).collect::<Because<Vec<u32>>>()?;
        let given = self.plan.values.get(value as usize).ok_or("a value that there is not")?;
        let one = self.plan.dimensions.iter().position(|it| it.number() == Some(1));
        let is_more = |dim: &&u32| Some(**dim as usize) != one;
        if given.kind != kind || !given.shape.iter().filter(is_more).eq(dims.iter().filter(is_more))
        {
            let found: Vec<_> =
                given.shape.iter().map(|at| self.plan.dimensions.get(*at as usize)).collect();
            return Err(format!(
                "expected {kind:?} of shape {shape:?}, found {:?} of {found:?}",
                given.kind
            ));
        }
        let value = if given.shape == dims { value } else { self.reshaped(value, &shape)? };
        self.is(inner, value);
        Ok(())
    }

    /// Says that an input of the body is the piece of `value` that it has at this turn.
    fn bind_piece(
        &mut self,
        inner: OutletId,
        value: u32,
        info: ScanInfo,
        turn: usize,
    ) -> Because<()> {
        let source = self.model.node(inner.node);
        let is_read = source.outputs.get(inner.slot).is_some_and(|it| !it.successors.is_empty())
            || self.model.output_outlets().is_ok_and(|it| it.contains(&inner));
        if !is_read {
            return Ok(());
        }
        let (kind, shape) = (self.kind_of(inner)?, self.shape_of(inner)?);
        let each = info.chunk.unsigned_abs();
        if shape.get(info.axis) != Some(&TDim::from(each)) {
            return Err("a loop whose pieces are of another length".to_owned());
        }
        let piece = self.piece(value, (kind, &shape), info, turn)?;
        self.is(inner, piece);
        Ok(())
    }

    /// A piece of `value`, of this shape, as a loop has it at a turn.
    pub(super) fn piece(
        &mut self,
        value: u32,
        (kind, shape): (crate::plan::Kind, &[TDim]),
        info: ScanInfo,
        turn: usize,
    ) -> Because<u32> {
        let whole = self.plan.values.get(value as usize).ok_or("a value that there is not")?;
        let along =
            whole.shape.get(info.axis).and_then(|at| self.plan.dimensions.get(*at as usize));
        let length = along.and_then(crate::plan::Dimension::number).ok_or("an open length")?;
        let rank = whole.shape.len();
        let each = info.chunk.unsigned_abs();
        let first = if info.chunk > 0 {
            Some(turn * each)
        } else {
            (length as usize).checked_sub((turn + 1) * each)
        };
        let first = first.filter(|first| first + each <= length as usize && rank == shape.len());
        let first = first.ok_or("a loop over pieces that there are not")?;
        if each as u64 == length {
            return self.reshaped(value, shape);
        }
        let (start, zero) = (self.dimension(&TDim::from(first))?, self.dimension(&TDim::Val(0))?);
        let starts = (0..rank).map(|at| if at == info.axis { start } else { zero }).collect();
        let output = self.in_slot(kind, shape)?;
        let axes = (0..rank as u32).collect();
        self.step(Step::Move { input: value, output, axes, starts });
        Ok(output)
    }

    /// Says what the outputs of a loop's node are that one of its body's goes to.
    fn answer(
        &mut self,
        node: &TypedNode,
        mapping: &OutputMapping<TDim>,
        made: &[u32],
    ) -> Because<()> {
        if let Some(slot) = mapping.last_value_slot {
            let last = made.last().ok_or("a loop without a turn")?;
            self.is(OutletId::new(node.id, slot), *last);
        }
        let Some((slot, info)) = mapping.scan else { return Ok(()) };
        let outlet = OutletId::new(node.id, slot);
        let is_read = node.outputs.get(slot).is_some_and(|it| !it.successors.is_empty())
            || self.model.output_outlets().is_ok_and(|it| it.contains(&outlet));
        if is_read {
            let value = self.joined(outlet, made, info)?;
            self.is(outlet, value);
        }
        Ok(())
    }

    /// The pieces that the turns of a loop made, one behind the other: from the last to the first where
    /// it goes backwards.
    pub(super) fn joined(
        &mut self,
        outlet: OutletId,
        made: &[u32],
        info: ScanInfo,
    ) -> Because<u32> {
        let (kind, shape) = (self.kind_of(outlet)?, self.shape_of(outlet)?);
        let along = |value: u32| {
            let value = self.plan.values.get(value as usize)?;
            self.plan.dimensions.get(*value.shape.get(info.axis)? as usize)?.number()
        };
        let each = made.first().and_then(|it| along(*it)).ok_or("pieces of an open length")?;
        let all = each.checked_mul(made.len() as u64);
        let fits = matches!(shape.get(info.axis), Some(TDim::Val(length)) if u64::try_from(*length).ok() == all);
        if !fits || (info.chunk < 0 && each != 1) {
            return Err("a loop whose pieces are not all of what it makes".to_owned());
        }
        if let [only] = made {
            return self.reshaped(*only, &shape);
        }
        let mut inputs = made.to_vec();
        if info.chunk < 0 {
            inputs.reverse();
        }
        let output = self.in_slot(kind, &shape)?;
        self.step(Step::Concat { axis: info.axis as u32, inputs, output });
        Ok(output)
    }
}

/// The nodes of a body that are not the same at every turn.
fn changing(body: &TypedModel, op: &Scan, inputs: &[OutletId], order: &[usize]) -> HashSet<usize> {
    let bindings = inputs.iter().zip(&op.input_mapping);
    let mut changing: HashSet<usize> =
        bindings.filter(|(_, it)| **it != InputMapping::Full).map(|(it, _)| it.node).collect();
    for at in order {
        if body.node(*at).inputs.iter().any(|it| changing.contains(&it.node)) {
            changing.insert(*at);
        }
    }
    changing
}
