//! Products of matrices.

use kernels::{Finish, KernelError, PanelShape, Scratch};
use rkyv::rend::u32_le;

use super::{Fault, Operands, Shared, memory::written, windows::Shown};
use crate::plan::ArchivedStep;

pub(super) fn product(
    from: &Operands<'_>,
    input: &u32_le,
    matrix: &u32_le,
    relu: bool,
    output: &mut [u8],
    scratch: &mut Scratch,
    shared: Shared<'_>,
) -> Result<(), Fault> {
    let panels = shared.matrices.panels(from.plan, matrix.to_native())?;
    let left = from.numbers::<f32>(input.to_native())?;
    let output = written::<f32>(output)?;
    let rows = rows_of(panels.shape(), left, output);
    let finish = if relu { Finish::Relu } else { Finish::None };
    Ok(scratch.product_with(shared.helpers, left, rows, &panels, finish, output)?)
}

/// The product of what `window` shows, a few rows of it at a time.
pub(super) fn of_window(
    from: &Operands<'_>,
    window: &ArchivedStep,
    matrix: &u32_le,
    relu: bool,
    output: &mut [u8],
    scratch: &mut Scratch,
    shared: Shared<'_>,
) -> Result<(), Fault> {
    let panels = shared.matrices.panels(from.plan, matrix.to_native())?;
    let shown = Shown::of(from, window)?;
    let output = written::<f32>(output)?;
    let rows = rows_shown(&shown, panels.shape())?;
    let finish = if relu { Finish::Relu } else { Finish::None };
    let inner = panels.shape().inner;
    let make = |row: usize, left: &mut [f32]| {
        let written = shown.write(row * inner, left);
        written.map_err(|fault| KernelError::Kernel { detail: fault.to_string() })
    };
    Ok(scratch.product_of_made(shared.helpers, &make, rows, &panels, finish, output)?)
}

/// How many rows for a matrix a window shows.
pub(super) fn rows_shown(shown: &Shown<'_>, shape: &PanelShape) -> Result<usize, Fault> {
    let rows = shown.count.checked_div(shape.inner).filter(|it| it * shape.inner == shown.count);
    rows.ok_or(Fault::Plan { what: "a window that shows no whole rows" })
}

/// How many rows a matrix is multiplied with.
pub(super) fn rows_of(shape: &PanelShape, left: &[f32], output: &[f32]) -> usize {
    match shape.inner {
        0 => output.len() / shape.columns.max(1),
        inner => left.len() / inner,
    }
}

pub(super) fn matmul(
    from: &Operands<'_>,
    (left, right): (&u32_le, &u32_le),
    dimensions: &[u32_le; 4],
    transposed: bool,
    output: &mut [u8],
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    let (left, right) = (from.numbers::<f32>(left.to_native())?, from.numbers(right.to_native())?);
    let output = written::<f32>(output)?;
    let [batch, rows, inner, columns] = dimensions;
    let of = |at: &u32_le| from.dimension(at.to_native());
    let (batch, rows, inner, columns) = (of(batch)?, of(rows)?, of(inner)?, of(columns)?);
    let size = |a: usize, b: usize| {
        a.checked_mul(b).ok_or(Fault::Plan { what: "a product beyond the address space" })
    };
    let sizes = (size(rows, inner)?, size(inner, columns)?, size(rows, columns)?);
    if [(left.len(), sizes.0), (right.len(), sizes.1), (output.len(), sizes.2)]
        .iter()
        .any(|(found, one)| size(*one, batch).ok() != Some(*found))
    {
        return Err(Fault::Plan { what: "operands of a product that do not fit" });
    }
    let strides = if transposed { (1, inner) } else { (columns, 1) };
    for at in 0..batch {
        let left = left.get(at * sizes.0..(at + 1) * sizes.0).unwrap_or_default();
        let right: &[f32] = right.get(at * sizes.1..(at + 1) * sizes.1).unwrap_or_default();
        let output = output.get_mut(at * sizes.2..(at + 1) * sizes.2).unwrap_or_default();
        scratch.product_of_plain(left, rows, right, (inner, columns), strides, output)?;
    }
    Ok(())
}
