//! Moving elements without changing them.

use rkyv::{rend::u32_le, vec::ArchivedVec};

use super::{Fault, Operands, Shape, around, memory::written};
use crate::plan::ArchivedKind;

/// Does `$work` with `$number` a type as wide as the elements of `$kind`.
macro_rules! by_width {
    ($kind:expr, $number:ident => $work:expr) => {
        match $kind.bytes() {
            1 => {
                type $number = u8;
                $work
            }
            4 => {
                type $number = u32;
                $work
            }
            8 => {
                type $number = u64;
                $work
            }
            _ => Err(Fault::Plan { what: "a move of texts" }),
        }
    };
}

fn same_kind(from: &Operands<'_>, input: u32, output: u32) -> Result<ArchivedKind, Fault> {
    let kind = from.kind(input)?;
    if kind != from.kind(output)? {
        return Err(Fault::Plan { what: "a move into another kind" });
    }
    Ok(kind)
}

pub(super) fn strided(
    from: &Operands<'_>,
    input: &u32_le,
    to: &u32_le,
    axes: &ArchivedVec<u32_le>,
    starts: &ArchivedVec<u32_le>,
    output: &mut [u8],
) -> Result<(), Fault> {
    let (input, to) = (input.to_native(), to.to_native());
    let (read, wrote) = (from.shape(input)?, from.shape(to)?);
    let mut strides_of_input = [1_usize; crate::plan::MAX_RANK];
    for at in (1..read.len()).rev() {
        let inner = strides_of_input.get(at).zip(read.get(at)).map(|(a, b)| a.saturating_mul(*b));
        if let (Some(to), Some(inner)) = (strides_of_input.get_mut(at - 1), inner) {
            *to = inner;
        }
    }
    let mut strides = Shape::default();
    for axis in axes.iter() {
        let axis = axis.to_native() as usize;
        let along = if axis < read.len() { strides_of_input.get(axis) } else { None };
        strides.push(along.copied().unwrap_or(0))?;
    }
    let mut start = 0_usize;
    for (at, stride) in starts.iter().zip(strides_of_input) {
        start = start.saturating_add(from.dimension(at.to_native())?.saturating_mul(stride));
    }
    let kind = same_kind(from, input, to)?;
    by_width!(kind, Number => {
        copy(from.numbers::<Number>(input)?, start, &strides, &wrote, written::<Number>(output)?)
    })
}

fn copy<T: Copy>(
    input: &[T],
    start: usize,
    strides: &[usize],
    shape: &[usize],
    output: &mut [T],
) -> Result<(), Fault> {
    let outside = || Fault::Plan { what: "a move reads beyond its input" };
    if output.is_empty() {
        return Ok(());
    }
    let last = strides.iter().zip(shape).map(|(stride, dim)| stride.saturating_mul(dim - 1));
    let last = last.fold(start, usize::saturating_add);
    if last >= input.len() || strides.len() != shape.len() {
        return Err(outside());
    }
    let (Some((width, outer)), Some((step, outer_strides))) =
        (shape.split_last(), strides.split_last())
    else {
        // A scalar.
        let value = input.get(start).ok_or_else(outside)?;
        output.fill(*value);
        return Ok(());
    };
    let mut index = [0_usize; crate::plan::MAX_RANK];
    let mut at = start;
    for row in output.chunks_exact_mut(*width) {
        match step {
            0 => row.fill(*input.get(at).ok_or_else(outside)?),
            1 => row.copy_from_slice(input.get(at..at + width).ok_or_else(outside)?),
            step => {
                let from = input.get(at..).unwrap_or_default().iter().step_by(*step);
                row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
        for at_axis in (0..outer.len()).rev() {
            let (Some(index), Some(dim), Some(stride)) =
                (index.get_mut(at_axis), outer.get(at_axis), outer_strides.get(at_axis))
            else {
                return Err(outside());
            };
            *index += 1;
            at += stride;
            if *index < *dim {
                break;
            }
            at -= stride * *dim;
            *index = 0;
        }
    }
    Ok(())
}

pub(super) fn concat(
    from: &Operands<'_>,
    axis: &u32_le,
    inputs: &ArchivedVec<u32_le>,
    to: &u32_le,
    output: &mut [u8],
) -> Result<(), Fault> {
    let (axis, to) = (axis.to_native() as usize, to.to_native());
    let kind = from.kind(to)?;
    let shape = from.shape(to)?;
    let unfit = || Fault::Plan { what: "parts that do not join" };
    let (outer, along, inner) = around(&shape, axis, 1).ok_or_else(unfit)?;
    let row = along * inner * kind.bytes();
    let mut start = 0;
    for part in inputs.iter() {
        let part = part.to_native();
        same_kind(from, part, to)?;
        let bytes = from.bytes(part)?;
        let shape = from.shape(part)?;
        let (rows, along, width) = around(&shape, axis, 1).ok_or_else(unfit)?;
        let length = along * width * kind.bytes();
        if (rows, width) != (outer, inner) || start + length > row {
            return Err(unfit());
        }
        if length > 0 {
            for (row, part) in output.chunks_exact_mut(row).zip(bytes.chunks_exact(length)) {
                row.get_mut(start..start + length).ok_or_else(unfit)?.copy_from_slice(part);
            }
        }
        start += length;
    }
    if start == row { Ok(()) } else { Err(unfit()) }
}

pub(super) fn gather(
    from: &Operands<'_>,
    axis: &u32_le,
    (table, indices): (&u32_le, &u32_le),
    to: &u32_le,
    output: &mut [u8],
) -> Result<(), Fault> {
    let (table, to) = (table.to_native(), to.to_native());
    let kind = same_kind(from, table, to)?;
    let shape = from.shape(table)?;
    let unfit = || Fault::Plan { what: "a look-up that does not fit" };
    let (outer, along, inner) = around(&shape, axis.to_native() as usize, 1).ok_or_else(unfit)?;
    let indices = from.numbers::<i64>(indices.to_native())?;
    if output.len() != outer * indices.len() * inner * kind.bytes() {
        return Err(unfit());
    }
    let width = inner * kind.bytes();
    if width == 0 {
        return Ok(());
    }
    let bytes = from.bytes(table)?;
    if let (0, [first, ..]) = (along, indices) {
        return Err(Fault::Index { least: 0, most: -1, found: *first });
    }
    let mut rows = output.chunks_exact_mut(width);
    for block in bytes.chunks_exact((along * width).max(1)) {
        for (index, row) in indices.iter().zip(&mut rows) {
            let wanted = if *index < 0 { index + along as i64 } else { *index };
            let found = usize::try_from(wanted).ok().filter(|it| *it < along);
            let Some(at) = found else {
                let least = -(along as i64);
                return Err(Fault::Index { least, most: along as i64 - 1, found: *index });
            };
            row.copy_from_slice(block.get(at * width..(at + 1) * width).ok_or_else(unfit)?);
        }
    }
    Ok(())
}
