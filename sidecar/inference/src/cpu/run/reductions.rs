//! One number out of many.

use rkyv::rend::u32_le;

use super::{Fault, Operands, around, memory::written};
use crate::plan::{ArchivedKind, ArchivedReduction};

fn parts(
    from: &Operands<'_>,
    input: u32,
    axis: &u32_le,
    axes: usize,
) -> Result<(usize, usize, usize), Fault> {
    let shape = from.shape(input)?;
    around(&shape, axis.to_native() as usize, axes)
        .ok_or(Fault::Plan { what: "a reduction over dimensions that there are not" })
}

pub(super) fn softmax(
    from: &Operands<'_>,
    input: &u32_le,
    (axis, axes): (&u32_le, &u32_le),
    log: bool,
    output: &mut [u8],
) -> Result<(), Fault> {
    let input = input.to_native();
    let (_, along, inner) = parts(from, input, axis, axes.to_native() as usize)?;
    let numbers = from.numbers::<f32>(input)?;
    let output = written::<f32>(output)?;
    if numbers.len() != output.len() {
        return Err(Fault::Plan { what: "a softmax of another shape" });
    }
    if along * inner == 0 {
        return Ok(());
    }
    let blocks = numbers.chunks_exact(along * inner).zip(output.chunks_exact_mut(along * inner));
    for (from, to) in blocks {
        for lane in 0..inner {
            let read = || from.get(lane..).unwrap_or_default().iter().step_by(inner);
            let largest = read().copied().fold(f32::NEG_INFINITY, f32::max);
            let wrote = || lane..;
            let to = to.get_mut(wrote()).unwrap_or_default();
            let mut sum = 0.0_f32;
            for (to, from) in to.iter_mut().step_by(inner).zip(read()) {
                let shifted = from - largest;
                let exponential = shifted.exp();
                sum += exponential;
                *to = if log { shifted } else { exponential };
            }
            let (factor, less) = if log { (1.0, sum.ln()) } else { (1.0 / sum, 0.0) };
            to.iter_mut().step_by(inner).for_each(|to| *to = *to * factor - less);
        }
    }
    Ok(())
}

pub(super) fn rms_norm(
    from: &Operands<'_>,
    input: &u32_le,
    axis: &u32_le,
    epsilon: f32,
    output: &mut [u8],
) -> Result<(), Fault> {
    let input = input.to_native();
    let (_, along, inner) = parts(from, input, axis, 1)?;
    let numbers = from.numbers::<f32>(input)?;
    let output = written::<f32>(output)?;
    if numbers.len() != output.len() {
        return Err(Fault::Plan { what: "a norm of another shape" });
    }
    if along * inner == 0 {
        return Ok(());
    }
    let blocks = numbers.chunks_exact(along * inner).zip(output.chunks_exact_mut(along * inner));
    for (from, to) in blocks {
        for lane in 0..inner {
            let read = || from.get(lane..).unwrap_or_default().iter().step_by(inner);
            let squares: f32 = read().map(|it| it * it).sum();
            let factor = 1.0 / (squares / along as f32 + epsilon).sqrt();
            let to = to.get_mut(lane..).unwrap_or_default().iter_mut().step_by(inner);
            to.zip(read()).for_each(|(to, from)| *to = from * factor);
        }
    }
    Ok(())
}

pub(super) fn reduce(
    from: &Operands<'_>,
    op: &ArchivedReduction,
    input: &u32_le,
    (axis, axes): (&u32_le, &u32_le),
    output: &mut [u8],
) -> Result<(), Fault> {
    let input = input.to_native();
    let parts = parts(from, input, axis, axes.to_native() as usize)?;
    match (op, from.kind(input)?) {
        (ArchivedReduction::ArgMax, ArchivedKind::F32) => {
            position(from.numbers::<f32>(input)?, parts, written(output)?, |a, b| a > b)
        }
        (ArchivedReduction::ArgMin, ArchivedKind::F32) => {
            position(from.numbers::<f32>(input)?, parts, written(output)?, |a, b| a < b)
        }
        (op, ArchivedKind::F32) => {
            let (start, join): (f32, fn(f32, f32) -> f32) = match op {
                ArchivedReduction::Max => (f32::NEG_INFINITY, f32::max),
                ArchivedReduction::Min => (f32::INFINITY, f32::min),
                ArchivedReduction::Prod => (1.0, |a, b| a * b),
                ArchivedReduction::MeanOfSquares => (0.0, |a, b| a + b * b),
                _ => (0.0, |a, b| a + b),
            };
            let output = written::<f32>(output)?;
            fold(from.numbers::<f32>(input)?, parts, output, start, join)?;
            if matches!(op, ArchivedReduction::MeanOfSquares) {
                output.iter_mut().for_each(|it| *it /= parts.1 as f32);
            }
            Ok(())
        }
        (op, ArchivedKind::I64) => {
            let (start, join): (i64, fn(i64, i64) -> i64) = match op {
                ArchivedReduction::Max => (i64::MIN, i64::max),
                ArchivedReduction::Min => (i64::MAX, i64::min),
                ArchivedReduction::Prod => (1, i64::wrapping_mul),
                ArchivedReduction::Sum => (0, i64::wrapping_add),
                _ => return Err(Fault::Plan { what: "a reduction of integers" }),
            };
            fold(from.numbers::<i64>(input)?, parts, written(output)?, start, join)
        }
        _ => Err(Fault::Plan { what: "a reduction of another kind" }),
    }
}

fn fold<T: Copy>(
    numbers: &[T],
    (outer, along, inner): (usize, usize, usize),
    output: &mut [T],
    start: T,
    join: impl Fn(T, T) -> T,
) -> Result<(), Fault> {
    if output.len() != outer * inner {
        return Err(Fault::Plan { what: "a reduction of another shape" });
    }
    output.fill(start);
    if inner == 0 || along == 0 {
        return Ok(());
    }
    for (block, to) in numbers.chunks_exact(along * inner).zip(output.chunks_exact_mut(inner)) {
        for row in block.chunks_exact(inner) {
            to.iter_mut().zip(row).for_each(|(to, from)| *to = join(*to, *from));
        }
    }
    Ok(())
}

fn position(
    numbers: &[f32],
    (outer, along, inner): (usize, usize, usize),
    output: &mut [i64],
    is_better: impl Fn(f32, f32) -> bool,
) -> Result<(), Fault> {
    if output.len() != outer * inner {
        return Err(Fault::Plan { what: "a reduction of another shape" });
    }
    output.fill(0);
    if inner == 0 || along == 0 {
        return Ok(());
    }
    for (block, to) in numbers.chunks_exact(along * inner).zip(output.chunks_exact_mut(inner)) {
        for (lane, to) in to.iter_mut().enumerate() {
            let mut best = None;
            let lane = block.get(lane..).unwrap_or_default().iter().step_by(inner);
            for (at, number) in lane.enumerate() {
                if best.is_none_or(|best| is_better(*number, best)) {
                    best = Some(*number);
                    *to = at as i64;
                }
            }
        }
    }
    Ok(())
}
