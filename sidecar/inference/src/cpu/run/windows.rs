//! Windows that are moved over an input.

use std::ops::Range;

use super::{Fault, Operands, memory::written};
use crate::plan::{ArchivedKind, ArchivedStep, ArchivedWindowed, Bound, MAX_RANK, Reading, Walk};

const UNFIT: Fault = Fault::Plan { what: "a window that does not fit" };

/// Does a window.
pub(super) fn window(
    from: &Operands<'_>,
    step: &ArchivedStep,
    output: &mut [u8],
) -> Result<(), Fault> {
    let ArchivedStep::Window { op, input, weights, output: to, fill, .. } = step else {
        return Err(UNFIT);
    };
    let (reading, count) = reading(from, step)?;
    let (input, fill) = (input.to_native(), fill.to_native());
    let kind = from.kind(input)?;
    if kind != from.kind(to.to_native())? || output.len() != count * kind.bytes() {
        return Err(UNFIT);
    }
    let weights = weights.as_ref().map(|it| from.numbers::<f32>(it.to_native())).transpose()?;
    macro_rules! copy {
        ($number:ty, $fill:expr) => {
            copy(&reading, from.numbers::<$number>(input)?, $fill, 0, written(output)?)
        };
    }
    match (op, kind) {
        (ArchivedWindowed::Copy, ArchivedKind::Bool) => copy!(u8, u8::from(fill != 0.0)),
        (ArchivedWindowed::Copy, ArchivedKind::I32) => copy!(i32, fill as i32),
        (ArchivedWindowed::Copy, ArchivedKind::I64) => copy!(i64, fill as i64),
        (ArchivedWindowed::Copy, ArchivedKind::F32) => copy!(f32, fill),
        (ArchivedWindowed::Copy, ArchivedKind::F64) => copy!(f64, f64::from(fill)),
        (ArchivedWindowed::Max, ArchivedKind::F32) => {
            let numbers = from.numbers::<f32>(input)?;
            let start = f32::NEG_INFINITY;
            fold(&reading, numbers, None, start, written(output)?, |to, from, _| *to = to.max(from))
        }
        (ArchivedWindowed::Sum, ArchivedKind::F32) => {
            let numbers = from.numbers::<f32>(input)?;
            match weights {
                None => fold(&reading, numbers, None, 0.0, written(output)?, |to, from, _| {
                    *to += from;
                }),
                weights => {
                    fold(&reading, numbers, weights, 0.0, written(output)?, |to, from, weight| {
                        *to += from * weight;
                    })
                }
            }
        }
        _ => Err(UNFIT),
    }
}

/// What a window of 32-bit floats shows, any piece of it at a time.
pub(super) struct Shown<'a> {
    reading: Reading,
    numbers: &'a [f32],
    fill: f32,
    /// How many numbers there are in all.
    pub(super) count: usize,
}

impl<'a> Shown<'a> {
    pub(super) fn of(from: &Operands<'a>, step: &ArchivedStep) -> Result<Self, Fault> {
        let ArchivedStep::Window { op: ArchivedWindowed::Copy, input, fill, .. } = step else {
            return Err(UNFIT);
        };
        let input = input.to_native();
        if from.kind(input)? != ArchivedKind::F32 {
            return Err(UNFIT);
        }
        let (reading, count) = reading(from, step)?;
        Ok(Self { reading, numbers: from.numbers(input)?, fill: fill.to_native(), count })
    }

    /// Writes the numbers from number `first` on.
    pub(super) fn write(&self, first: usize, output: &mut [f32]) -> Result<(), Fault> {
        copy(&self.reading, self.numbers, self.fill, first, output)
    }
}

/// How a window reads, and how many elements it writes.
fn reading(from: &Operands<'_>, step: &ArchivedStep) -> Result<(Reading, usize), Fault> {
    let ArchivedStep::Window { input, weights, output, along, taps, .. } = step else {
        return Err(UNFIT);
    };
    let (read, wrote) = (from.shape(input.to_native())?, from.shape(output.to_native())?);
    let count = wrote.iter().try_fold(1_usize, |count, dim| count.checked_mul(*dim));
    let reading = Reading::of(along, taps, &read, &wrote, weights.is_some());
    reading.zip(count).ok_or(UNFIT)
}

/// A place of a window: how far along each dimension it is, and what follows.
#[derive(Clone, Copy, Default)]
struct Place {
    index: [usize; MAX_RANK],
    at: i64,
    bounds: [i64; MAX_RANK],
}

impl Place {
    /// The place of line `number`, of the lines along the innermost dimension.
    fn of(reading: &Reading, mut number: usize) -> Self {
        let mut place = Self { at: reading.first, ..Self::default() };
        for (to, bound) in place.bounds.iter_mut().zip(reading.bounds()) {
            *to = bound.start;
        }
        let (_, outer) = inner_and_outer(reading);
        for (walk, index) in outer.iter().zip(&mut place.index).rev() {
            *index = number.checked_rem(walk.count).unwrap_or(0);
            number = number.checked_div(walk.count).unwrap_or(0);
            let steps = *index as i64;
            place.at += steps * walk.step;
            place.bounds.iter_mut().zip(walk.bounds).for_each(|(to, step)| *to += steps * step);
        }
        place
    }

    /// Goes to the next one. Whether there was one; else it is the first again.
    #[inline]
    fn advance(&mut self, walks: &[Walk]) -> bool {
        for (walk, index) in walks.iter().zip(&mut self.index).rev() {
            *index += 1;
            self.at += walk.step;
            self.bounds.iter_mut().zip(walk.bounds).for_each(|(to, step)| *to += step);
            if *index < walk.count {
                return true;
            }
            let steps = walk.count as i64;
            *index = 0;
            self.at -= steps * walk.step;
            self.bounds.iter_mut().zip(walk.bounds).for_each(|(to, step)| *to -= steps * step);
        }
        false
    }
}

fn inner_and_outer(reading: &Reading) -> (Walk, &[Walk]) {
    let (inner, outer) = reading.dims().split_last().unzip();
    (inner.copied().unwrap_or_default(), outer.unwrap_or_default())
}

/// Which of so many steps along `walk` are inside all bounds.
#[inline]
fn inside(bounds: &[Bound], places: &[i64], walk: &Walk) -> Range<usize> {
    let (mut start, mut end) = (0_i64, walk.count as i64);
    for ((bound, place), step) in bounds.iter().zip(places).zip(&walk.bounds) {
        let (place, size) = (*place, bound.size);
        let (from, to) = match *step {
            0 if (0..size).contains(&place) => continue,
            0 => return 0..0,
            1 => (-place, size - place),
            // Rounded up both times.
            step if step > 0 => (-place.div_euclid(step), -(place - size).div_euclid(step)),
            step => ((place - size).div_euclid(-step) + 1, place.div_euclid(-step) + 1),
        };
        (start, end) = (start.max(from), end.min(to));
    }
    if start < end { start as usize..end as usize } else { 0..0 }
}

/// Does something with each element of `to` and one of those that lie `step` apart from `start` on.
#[inline(always)]
fn each<T: Copy>(
    input: &[T],
    start: i64,
    step: i64,
    to: &mut [T],
    mut take: impl FnMut(&mut T, T),
) -> Result<(), Fault> {
    let Some(last) = to.len().checked_sub(1) else { return Ok(()) };
    let end = start + step * last as i64;
    let place = |it: i64| usize::try_from(it).map_err(|_| UNFIT);
    let read = input.get(place(start.min(end))?..=place(start.max(end))?).ok_or(UNFIT)?;
    match step {
        1 => to.iter_mut().zip(read).for_each(|(to, from)| take(to, *from)),
        0 => to.iter_mut().for_each(|to| read.iter().for_each(|from| take(to, *from))),
        step if step > 0 => {
            let from = read.iter().step_by(step as usize);
            to.iter_mut().zip(from).for_each(|(to, from)| take(to, *from));
        }
        step => {
            let from = read.iter().rev().step_by(step.unsigned_abs() as usize);
            to.iter_mut().zip(from).for_each(|(to, from)| take(to, *from));
        }
    }
    Ok(())
}

/// Copies elements from element `first` of the output on.
fn copy<T: Copy>(
    reading: &Reading,
    input: &[T],
    fill: T,
    first: usize,
    mut output: &mut [T],
) -> Result<(), Fault> {
    let (inner, outer) = inner_and_outer(reading);
    if inner.count == 0 || output.is_empty() {
        return Ok(());
    }
    let mut place = Place::of(reading, first / inner.count);
    let mut from = first % inner.count;
    while !output.is_empty() {
        let width = (inner.count - from).min(output.len());
        let (line, rest) = output.split_at_mut(width);
        output = rest;
        let range = inside(reading.bounds(), &place.bounds, &inner);
        let start = range.start.clamp(from, from + width);
        let end = range.end.clamp(start, from + width);
        let (before, line) = line.split_at_mut(start - from);
        let (line, after) = line.split_at_mut(end - start);
        before.fill(fill);
        after.fill(fill);
        let at = place.at + start as i64 * inner.step;
        each(input, at, inner.step, line, |to, from| *to = from)?;
        from = 0;
        if !place.advance(outer) && !output.is_empty() {
            return Err(UNFIT);
        }
    }
    Ok(())
}

/// Takes for each element of the output those that the window shows, with their weights.
#[inline(always)]
fn fold(
    reading: &Reading,
    input: &[f32],
    weights: Option<&[f32]>,
    start: f32,
    output: &mut [f32],
    take: impl Fn(&mut f32, f32, f32),
) -> Result<(), Fault> {
    let (inner, outer) = inner_and_outer(reading);
    let taps = reading.taps();
    if inner.count == 0 || output.is_empty() {
        return Ok(());
    }
    let shown = taps.iter().map(|it| it.count).product::<usize>();
    if weights.is_some_and(|it| it.len() != shown * inner.count) {
        return Err(UNFIT);
    }
    output.fill(start);
    if shown == 0 {
        return Ok(());
    }
    let mut place = Place::of(reading, 0);
    for line in output.chunks_exact_mut(inner.count) {
        let mut tap = Place::default();
        for number in 0..shown {
            let mut bounds = place.bounds;
            bounds.iter_mut().zip(tap.bounds).for_each(|(to, step)| *to += step);
            let range = inside(reading.bounds(), &bounds, &inner);
            let at = place.at + tap.at + range.start as i64 * inner.step;
            let line = line.get_mut(range.clone()).unwrap_or_default();
            match weights {
                Some(weights) => {
                    let first = number * inner.count;
                    let weights = weights.get(first + range.start..first + range.end);
                    let weights = weights.unwrap_or_default();
                    with_weights(input, at, inner.step, weights, line, &take)?;
                }
                None => each(input, at, inner.step, line, |to, from| take(to, from, 1.0))?,
            }
            tap.advance(taps);
        }
        place.advance(outer);
    }
    Ok(())
}

/// As [`each`], with the weight of each.
#[inline(always)]
fn with_weights(
    input: &[f32],
    start: i64,
    step: i64,
    weights: &[f32],
    to: &mut [f32],
    take: impl Fn(&mut f32, f32, f32),
) -> Result<(), Fault> {
    if step == 1 && !to.is_empty() {
        let start = usize::try_from(start).map_err(|_| UNFIT)?;
        let read = input.get(start..start + to.len()).ok_or(UNFIT)?;
        let pairs = read.iter().zip(weights);
        to.iter_mut().zip(pairs).for_each(|(to, (from, weight))| take(to, *from, *weight));
        return Ok(());
    }
    let mut weights = weights.iter();
    each(input, start, step, to, |to, from| {
        take(to, from, weights.next().copied().unwrap_or_default());
    })
}
