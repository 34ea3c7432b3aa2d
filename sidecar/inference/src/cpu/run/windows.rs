//! Windows that are moved over an input.

mod fold;
mod place;

use super::{Fault, Operands, memory::written};
use crate::plan::{ArchivedKind, ArchivedStep, ArchivedWindowed, MAX_RANK, Reading};
use fold::Fold;
use place::{Place, each, inner_and_outer, inside, sizes};

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

/// Does `$work` with `$bounds` a constant: how many bounds a reading has, or the most that one can have.
macro_rules! by_bounds {
    ($reading:expr, $bounds:ident => $work:expr) => {
        match $reading.bounds().len() {
            0 => {
                const $bounds: usize = 0;
                $work
            }
            1 => {
                const $bounds: usize = 1;
                $work
            }
            2 => {
                const $bounds: usize = 2;
                $work
            }
            _ => {
                const $bounds: usize = MAX_RANK;
                $work
            }
        }
    };
}

/// Copies elements from element `first` of the output on.
fn copy<T: Copy>(
    reading: &Reading,
    input: &[T],
    fill: T,
    first: usize,
    output: &mut [T],
) -> Result<(), Fault> {
    by_bounds!(reading, BOUNDS => copied::<T, BOUNDS>(reading, input, fill, first, output))
}

fn copied<T: Copy, const BOUNDS: usize>(
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
    let sizes = sizes::<BOUNDS>(reading);
    let mut place = Place::<BOUNDS>::of(reading, first / inner.count);
    let mut from = first % inner.count;
    while !output.is_empty() {
        let width = (inner.count - from).min(output.len());
        let (line, rest) = output.split_at_mut(width);
        output = rest;
        let range = inside(&sizes, &place.bounds, &inner);
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
fn fold(
    reading: &Reading,
    input: &[f32],
    weights: Option<&[f32]>,
    start: f32,
    output: &mut [f32],
    take: impl Fn(&mut f32, f32, f32) + Copy,
) -> Result<(), Fault> {
    let fold = Fold { reading, input, weights, start, take };
    by_bounds!(reading, BOUNDS => fold.write::<BOUNDS>(output))
}
