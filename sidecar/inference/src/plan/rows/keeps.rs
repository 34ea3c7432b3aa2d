//! Which steps compute a row from the same row.

use rkyv::{rend::u32_le, vec::ArchivedVec};

use super::{Layout, Major, Shape, Tracing};
use crate::plan::{ArchivedAlong, ArchivedStep, ArchivedTap, extent::Extent};

/// An operand that lies row after row.
struct Batched<'a> {
    dims: &'a [Extent],
    axis: usize,
    per_row: &'a Extent,
    along: &'a Extent,
}

impl Shape {
    fn batched(&self) -> Option<Batched<'_>> {
        let Layout::Batch { axis, per_row, along } = &self.layout else { return None };
        Some(Batched { dims: &self.dims, axis: *axis, per_row, along })
    }
}

impl Tracing<'_> {
    /// Whether `step` computes each row of its output, which lies row after row, from that row of its
    /// inputs and from what is the same for all rows. None where that cannot be told.
    pub(super) fn keeps_rows(
        &self,
        step: &ArchivedStep,
        inputs: &[(u32, Major)],
        output: u32,
    ) -> Option<bool> {
        let to = self.shape(output)?.batched()?;
        let first = inputs.first().copied();
        // The one input of most steps, where it has rows.
        let from = || match first? {
            (value, Major::Batch) => self.shape(value)?.batched(),
            _ => None,
        };
        Some(match step {
            // The same place of another tensor, whatever the shapes say.
            ArchivedStep::Unary { .. }
            | ArchivedStep::Cast { .. }
            | ArchivedStep::Category { .. } => from()?.per_row == to.per_row,
            ArchivedStep::Product { matrix, .. } => {
                let matrix = self.plan.matrices.get(matrix.to_native() as usize)?;
                let size = |number: u64| i64::try_from(number).ok();
                let (inner, columns) =
                    (size(matrix.inner.to_native())?, size(matrix.columns.to_native())?);
                let rows = from()?.per_row.over(inner)?;
                rows.times(&Extent::number(columns))? == *to.per_row
            }
            ArchivedStep::MatMul { dimensions, .. } => {
                return self.matmul_keeps_rows(inputs, dimensions, &to);
            }
            ArchivedStep::Binary { .. } | ArchivedStep::Select { .. } => {
                inputs.iter().all(|input| self.repeats_into(*input, &to) == Some(true))
            }
            ArchivedStep::Move { axes, starts, .. } => match first? {
                (_, Major::Fixed) => is_repeated(&to, axes, self.shape(first?.0)?.dims.len()),
                _ => return self.move_keeps_rows(&from()?, &to, axes, starts),
            },
            ArchivedStep::Concat { axis, .. } => {
                let axis = axis.to_native() as usize;
                let lies_alike = |(value, major): &(u32, Major)| {
                    let part = self.shape(*value).and_then(Shape::batched);
                    *major == Major::Batch
                        && part.is_some_and(|it| it.axis == to.axis && it.along == to.along)
                };
                axis > to.axis && inputs.iter().all(lies_alike)
            }
            ArchivedStep::Gather { axis, .. } => {
                return self.gather_keeps_rows(inputs, axis.to_native() as usize, &to);
            }
            ArchivedStep::Softmax { axis, axes, .. } => {
                let from = from()?;
                from.spares(axis, axes.to_native()) && from.per_row == to.per_row
            }
            ArchivedStep::RmsNorm { axis, .. } => {
                let from = from()?;
                from.spares(axis, 1) && from.per_row == to.per_row
            }
            ArchivedStep::Reduce { axis, axes, .. } => {
                let from = from()?;
                let start = axis.to_native() as usize;
                let end = start.checked_add(axes.to_native() as usize)?;
                let along = product(from.dims.get(start..end)?)?;
                from.spares(axis, axes.to_native()) && to.per_row.times(&along)? == *from.per_row
            }
            ArchivedStep::Window { along, taps, .. } => {
                if inputs.get(1).is_some_and(|(_, weights)| *weights != Major::Fixed) {
                    return Some(false);
                }
                match first? {
                    (input, Major::Fixed) => {
                        let axis = along.get(to.axis)?.axis.to_native() as usize;
                        axis >= self.shape(input)?.dims.len()
                    }
                    _ => window_keeps_rows(&from()?, &to, along, taps),
                }
            }
        })
    }

    /// Whether an operand is the output's row, or is repeated for all rows.
    fn repeats_into(&self, (value, major): (u32, Major), to: &Batched<'_>) -> Option<bool> {
        let shape = self.shape(value)?;
        if shape.dims.len() != to.dims.len() {
            return Some(false);
        }
        let fits = shape.dims.iter().zip(to.dims).enumerate().all(|(at, (from, to_dim))| {
            if at == to.axis {
                if major == Major::Fixed { from.is_one() } else { from == to_dim }
            } else {
                from.is_one() || from == to_dim
            }
        });
        let is_row = match major {
            Major::Fixed => true,
            Major::Batch => shape.batched()?.axis == to.axis,
            Major::Mixed => false,
        };
        Some(fits && is_row)
    }

    fn matmul_keeps_rows(
        &self,
        inputs: &[(u32, Major)],
        dimensions: &[u32_le; 4],
        to: &Batched<'_>,
    ) -> Option<bool> {
        let [(left, Major::Batch), (right, of_right)] = inputs else { return Some(false) };
        let of = |at: &u32_le| self.extents.dimension(at.to_native());
        let [batch, rows, inner, columns] = dimensions;
        let (batch, rows, inner, columns) = (of(batch)?, of(rows)?, of(inner)?, of(columns)?);
        let left = self.shape(*left)?.batched()?;
        let free = |all: &[&Extent]| all.iter().all(|it| self.extents.is_free(it));
        let each = |a: &Extent, b: &Extent, c: &Extent| a.times(b)?.times(c);
        if *of_right == Major::Fixed {
            // One product over all rows.
            let along = self.extents.per_row(rows)?;
            let is_one = batch.is_one() && free(&[inner, columns]);
            return Some(
                is_one
                    && along.times(inner)? == *left.per_row
                    && along.times(columns)? == *to.per_row,
            );
        }
        // Some products for each row.
        let right = self.shape(*right)?.batched()?;
        let along = self.extents.per_row(batch)?;
        Some(
            free(&[rows, inner, columns])
                && each(&along, rows, inner)? == *left.per_row
                && each(&along, inner, columns)? == *right.per_row
                && each(&along, rows, columns)? == *to.per_row,
        )
    }

    /// Strides are not held to the dimensions that they step along, so that is done here.
    fn move_keeps_rows(
        &self,
        from: &Batched<'_>,
        to: &Batched<'_>,
        axes: &ArchivedVec<u32_le>,
        starts: &ArchivedVec<u32_le>,
    ) -> Option<bool> {
        let mut steps = vec![None; from.dims.len()];
        for (axis, dim) in axes.iter().zip(to.dims) {
            let Some(step) = steps.get_mut(axis.to_native() as usize) else { continue };
            if step.replace(dim).is_some() {
                return Some(false);
            }
        }
        let zero = Extent::number(0);
        for (at, (dim, step)) in from.dims.iter().zip(steps).enumerate() {
            let start = match starts.get(at) {
                Some(start) => self.extents.dimension(start.to_native())?,
                None => &zero,
            };
            let one = Extent::number(1);
            let end = start.add(step.unwrap_or(&one))?;
            let is_inside = match (start.fixed(), end.fixed(), dim.fixed()) {
                (Some(start), Some(end), Some(dim)) => start >= 0 && end <= dim,
                (Some(0), ..) => end == *dim,
                _ => false,
            };
            if !is_inside {
                return Some(false);
            }
        }
        let same_axis = axes.get(to.axis).is_some_and(|it| it.to_native() as usize == from.axis);
        Some(same_axis && from.along == to.along)
    }

    fn gather_keeps_rows(
        &self,
        inputs: &[(u32, Major)],
        axis: usize,
        to: &Batched<'_>,
    ) -> Option<bool> {
        let [(table, of_table), (indices, of_indices)] = inputs else { return Some(false) };
        let (table, indices) = (self.shape(*table)?, self.shape(*indices)?);
        let inner = product(table.dims.get(axis + 1..)?)?;
        Some(match (of_table, of_indices) {
            (Major::Fixed, Major::Batch) => {
                let has_one = table.dims.get(..axis)?.iter().all(Extent::is_one);
                has_one && indices.batched()?.per_row.times(&inner)? == *to.per_row
            }
            (Major::Batch, Major::Fixed) => {
                let Layout::Fixed(count) = &indices.layout else { return Some(false) };
                let from = table.batched()?;
                let outer = product(from.dims.get(from.axis + 1..axis)?)?;
                let rows = from.along.times(&outer)?;
                axis > from.axis && rows.times(count)?.times(&inner)? == *to.per_row
            }
            _ => false,
        })
    }
}

impl Batched<'_> {
    /// Whether a range of dimensions leaves the one of the batch out.
    fn spares(&self, axis: &u32_le, axes: u32) -> bool {
        let start = axis.to_native() as usize;
        let end = start.saturating_add(axes as usize);
        end <= self.dims.len() && (start > self.axis || end <= self.axis)
    }
}

/// Whether a window moves along the batch with its output's alone, a row at a time. Along every other
/// dimension it is held to the input.
fn window_keeps_rows(
    from: &Batched<'_>,
    to: &Batched<'_>,
    along: &ArchivedVec<ArchivedAlong>,
    taps: &ArchivedVec<ArchivedTap>,
) -> bool {
    let is_batch = |axis: &u32_le| axis.to_native() as usize == from.axis;
    let moves = along.iter().enumerate().filter(|(_, it)| is_batch(&it.axis));
    let fits = |(at, it): (usize, &ArchivedAlong)| {
        at == to.axis && it.stride.to_native() == 1 && it.start.to_native() == 0
    };
    let mut moves = moves.map(fits);
    let is_row = moves.next() == Some(true) && moves.next().is_none();
    is_row && !taps.iter().any(|it| is_batch(&it.axis)) && from.along == to.along
}

/// Whether the dimension of the batch, and those before it, repeat what is read.
fn is_repeated(to: &Batched<'_>, axes: &ArchivedVec<u32_le>, rank: usize) -> bool {
    axes.get(to.axis).is_some_and(|it| it.to_native() as usize >= rank)
}

fn product(dims: &[Extent]) -> Option<Extent> {
    dims.iter().try_fold(Extent::number(1), |product, dim| product.times(dim))
}
