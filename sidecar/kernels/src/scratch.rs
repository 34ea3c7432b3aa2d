//! Products, and the memory that they need while they run.

use tract_data::prelude::Tensor;
use tract_linalg::mmm::ScratchSpace;
use zerocopy::IntoBytes;

use crate::{
    Element, KernelError, Panels,
    helpers::Share,
    native::{Native, native},
    panels::ALIGNMENT,
    row::{LANES, Row},
    run::{self, Call, multiply},
    tiles,
    tiling::{Run, Tiling},
};

/// The rows of a product are taken in blocks of as many bytes as a core's cache keeps beside the
/// panels that they meet.
const BLOCK_BYTES: usize = 256 << 10;
const MOST_ROWS: usize = 240;
const FEWEST_ROWS: usize = 32;
/// Panels are taken in groups of as many bytes, so that what a call costs is spread over them.
const GROUP_BYTES: usize = 256 << 10;

/// What is done to each number of a product before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Finish {
    /// Nothing.
    #[default]
    None,
    /// Negative numbers become 0.
    Relu,
}

/// What products need while they run. One for each thread that multiplies; it keeps the largest
/// size that it was asked for and allocates no more then.
pub struct Scratch {
    moving: Vec<f32>,
    product: Tensor,
    wide: Aligned,
    packed: Aligned,
    spaces: Vec<Box<dyn ScratchSpace>>,
    tiling: Tiling,
    uses_tiles: bool,
    /// A row of a change of low rank.
    pub(crate) thin: Vec<f32>,
    pub(crate) own_share: Vec<f32>,
    pub(crate) shares: Vec<Share>,
    /// Rows of a left operand that is made as it is multiplied.
    pub(crate) made: Vec<f32>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            moving: Vec::new(),
            product: Tensor::default(),
            wide: Aligned::default(),
            packed: Aligned::default(),
            spaces: native().kernels.iter().map(run::scratch_space).collect(),
            tiling: Tiling::default(),
            uses_tiles: run::has_tiles(),
            thin: Vec::new(),
            own_share: Vec::new(),
            shares: Vec::new(),
            made: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({} bytes)", self.bytes())
    }
}

impl Scratch {
    /// One that uses no kernel that this processor alone may have, for comparison.
    pub fn portable() -> Self {
        Self { uses_tiles: false, ..Self::default() }
    }

    /// Bytes that it keeps.
    pub fn bytes(&self) -> usize {
        let numbers =
            [self.moving.len(), self.product.len(), self.wide.0.len(), self.packed.0.len()];
        let shares = self.shares.iter().map(Share::len).sum::<usize>() + self.own_share.len();
        (numbers.iter().sum::<usize>() + shares + self.made.len()) * size_of::<f32>()
    }

    /// `output = finish(left · right + bias)`, where `left` has `rows` rows of `inner` numbers and
    /// `output` has `rows` rows of `columns`, row after row.
    ///
    /// # Errors
    /// [`KernelError`]; [`KernelError::Lanes`] where the panels are not this processor's.
    pub fn product(
        &mut self,
        left: &[f32],
        rows: usize,
        right: &Panels<'_>,
        finish: Finish,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        let shape = right.shape;
        let native = native();
        if shape.lanes != native.lanes {
            return Err(KernelError::Lanes { expected: native.lanes, found: shape.lanes });
        }
        exactly("left operand", rows.checked_mul(shape.inner), left.len())?;
        exactly("output", rows.checked_mul(shape.columns), output.len())?;
        if rows == 0 || shape.columns == 0 {
            return Ok(());
        }
        if shape.depth() == 0 {
            output.fill(0.0);
            return Ok(());
        }
        let has_tiles = shape.lanes == LANES && shape.inner > 0 && self.uses_tiles;
        if rows == 1 && shape.lanes == LANES && !has_tiles {
            run::one_row(Row { left, right, finish, output });
            return Ok(());
        }
        let at_once = rows_at_once(&shape);
        for first in (0..rows).step_by(at_once) {
            let rows = at_once.min(rows - first);
            let left = left.get(first * shape.inner..(first + rows) * shape.inner);
            let output = output.get_mut(first * shape.columns..(first + rows) * shape.columns);
            let (left, output) = (left.unwrap_or_default(), output.unwrap_or_default());
            if has_tiles {
                tiles::product(left, right, finish, output);
            } else {
                self.block(native, left, rows, right, finish, output)?;
            }
        }
        Ok(())
    }

    /// `output = left · right` for a `right` that is not packed: number (i, j) of it is at
    /// `i * strides.0 + j * strides.1`, for `inner` rows and `columns` columns.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn product_of_plain(
        &mut self,
        left: &[f32],
        rows: usize,
        right: &[f32],
        (inner, columns): (usize, usize),
        strides: (usize, usize),
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        let lanes = native().lanes;
        let shape =
            crate::PanelShape { inner, columns, has_bias: false, element: Element::F32, lanes };
        let bytes = shape.bytes()?;
        let last = |count: usize, stride: usize| count.saturating_sub(1).saturating_mul(stride);
        if inner > 0 && columns > 0 {
            let expected = last(inner, strides.0).saturating_add(last(columns, strides.1));
            if right.len() <= expected {
                let found = right.len();
                return Err(KernelError::Length { operand: "right operand", expected, found });
            }
        }
        let mut packed = std::mem::take(&mut self.packed);
        let numbers = packed.at_least(bytes / size_of::<f32>());
        let panel = shape.panel_bytes()? / size_of::<f32>();
        for (at, panel) in numbers.chunks_exact_mut(panel.max(1)).take(shape.panels()).enumerate() {
            let first = at * lanes;
            let width = lanes.min(columns - first);
            for (row, record) in panel.chunks_exact_mut(lanes).enumerate() {
                record.fill(0.0);
                if row < inner {
                    let from = right.get(row * strides.0 + first * strides.1..).unwrap_or_default();
                    let from = from.iter().step_by(strides.1.max(1));
                    record.iter_mut().take(width).zip(from).for_each(|(to, from)| *to = *from);
                }
            }
        }
        let bytes = numbers.as_bytes().get(..bytes).unwrap_or_default();
        let done = Panels::new(bytes, shape)
            .and_then(|panels| self.product(left, rows, &panels, Finish::None, output));
        self.packed = packed;
        done
    }

    fn block(
        &mut self,
        native: &'static Native,
        left: &[f32],
        rows: usize,
        right: &Panels<'_>,
        finish: Finish,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        if self.tiling.rows != rows {
            self.tiling = Tiling::cover(native, rows);
        }
        let tiling = self.tiling;
        let (shape, depth) = (right.shape, right.shape.depth());
        let padded = tiling.padded_rows(native);
        let needed = (depth + 1) * padded;
        if self.moving.len() < needed {
            self.moving.resize(needed, 0.0);
        }
        for run in tiling.runs() {
            let height = native.kernels.get(run.kernel).map_or(0, |it| it.rows);
            let into = part(&mut self.moving, run, height, depth + 1);
            for (at, tile) in into.chunks_exact_mut((depth + 1) * height).enumerate() {
                let first = run.start + at * height;
                let from = left.get(first * shape.inner..).unwrap_or_default();
                tile_rows(tile, height, from, shape.inner, shape.has_bias);
            }
        }
        let wide_panel = ((depth + 1) * shape.lanes * size_of::<f32>()).next_multiple_of(ALIGNMENT);
        let in_group = (GROUP_BYTES / wide_panel).clamp(1, shape.panels());
        let width = in_group * shape.lanes;
        grow(&mut self.product, padded * width)?;
        for first in (0..shape.panels()).step_by(in_group) {
            let panels = in_group.min(shape.panels() - first);
            let (fixed, panel_bytes) = if shape.element == Element::F32 {
                let start = first * right.panel_bytes;
                let bytes = right.bytes.get(start..start + panels * right.panel_bytes);
                (bytes.unwrap_or_default(), right.panel_bytes)
            } else {
                let numbers = self.wide.at_least(in_group * wide_panel / size_of::<f32>());
                let each = numbers.chunks_exact_mut(wide_panel / size_of::<f32>());
                each.take(panels).enumerate().for_each(|(at, it)| right.widen(first + at, it));
                (numbers.as_bytes(), wide_panel)
            };
            let width = panels * shape.lanes;
            for run in tiling.runs() {
                let (Some(kernel), Some(space)) =
                    (native.kernels.get(run.kernel), self.spaces.get_mut(run.kernel))
                else {
                    continue;
                };
                multiply(Call {
                    kernel,
                    space: &mut **space,
                    fixed,
                    panel_bytes,
                    panels,
                    moving: part(&mut self.moving, run, kernel.rows, depth + 1),
                    tiles: run.tiles,
                    depth,
                    product: &mut self.product,
                    start: run.start * width,
                })?;
            }
            let from = numbers(&self.product)?.chunks_exact(width);
            let column = first * shape.lanes;
            let used = width.min(shape.columns - column);
            for (row, from) in output.chunks_exact_mut(shape.columns).zip(from) {
                let to = row.get_mut(column..column + used).unwrap_or_default();
                match finish {
                    Finish::None => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
                    Finish::Relu => {
                        to.iter_mut().zip(from).for_each(|(to, from)| *to = from.max(0.0));
                    }
                }
            }
        }
        Ok(())
    }
}

/// How many rows are multiplied at once.
pub(crate) fn rows_at_once(shape: &crate::PanelShape) -> usize {
    let most = BLOCK_BYTES / (shape.depth().max(1) * size_of::<f32>());
    most.clamp(FEWEST_ROWS, MOST_ROWS)
}

/// The tiles of `run` among those of all runs.
fn part(moving: &mut [f32], run: Run, height: usize, records: usize) -> &mut [f32] {
    let start = run.start * records;
    moving.get_mut(start..start + run.tiles * height * records).unwrap_or_default()
}

/// Writes up to `height` rows of `inner` numbers as records of `height`, one of 1 for the bias,
/// and one of zeros; rows that there are not are zeros.
fn tile_rows(tile: &mut [f32], height: usize, rows: &[f32], inner: usize, has_bias: bool) {
    let (numbers, rest) = tile.split_at_mut_checked(inner * height).unwrap_or_default();
    match height {
        5 if rows.len() >= 5 * inner => transpose::<5>(numbers, rows, inner),
        6 if rows.len() >= 6 * inner => transpose::<6>(numbers, rows, inner),
        8 if rows.len() >= 8 * inner => transpose::<8>(numbers, rows, inner),
        12 if rows.len() >= 12 * inner => transpose::<12>(numbers, rows, inner),
        _ => {
            numbers.fill(0.0);
            for (at, row) in rows.chunks_exact(inner.max(1)).take(height).enumerate() {
                let to = numbers.get_mut(at..).unwrap_or_default().iter_mut().step_by(height);
                to.zip(row).for_each(|(to, from)| *to = *from);
            }
        }
    }
    rest.fill(0.0);
    if has_bias {
        rest.get_mut(..height).unwrap_or_default().fill(1.0);
    }
}

fn transpose<const HEIGHT: usize>(into: &mut [f32], rows: &[f32], inner: usize) {
    let rows: [&[f32]; HEIGHT] =
        std::array::from_fn(|at| rows.get(at * inner..(at + 1) * inner).unwrap_or_default());
    let (records, _) = into.as_chunks_mut::<HEIGHT>();
    for (at, record) in records.iter_mut().enumerate() {
        *record = rows.map(|row| row.get(at).copied().unwrap_or_default());
    }
}

/// Numbers that start at a multiple of 64 bytes.
#[derive(Default)]
struct Aligned(Vec<f32>);

impl Aligned {
    fn at_least(&mut self, length: usize) -> &mut [f32] {
        let needed = length + ALIGNMENT / size_of::<f32>();
        if self.0.len() < needed {
            self.0.resize(needed, 0.0);
        }
        let start = self.0.as_ptr().align_offset(ALIGNMENT);
        self.0.get_mut(start..start.saturating_add(length)).unwrap_or_default()
    }
}

/// Makes `tensor` have at least `length` numbers.
fn grow(tensor: &mut Tensor, length: usize) -> Result<(), KernelError> {
    if tensor.len() < length || tensor.rank() != 1 {
        *tensor = Tensor::zero_aligned::<f32>(&[length.max(1)], ALIGNMENT)
            .map_err(|error| KernelError::Kernel { detail: error.to_string() })?;
    }
    Ok(())
}

fn numbers(tensor: &Tensor) -> Result<&[f32], KernelError> {
    tensor
        .try_as_plain_ram()
        .and_then(|it| it.as_slice::<f32>())
        .map_err(|error| KernelError::Kernel { detail: error.to_string() })
}

fn exactly(
    operand: &'static str,
    expected: Option<usize>,
    found: usize,
) -> Result<(), KernelError> {
    match expected {
        Some(expected) if expected == found => Ok(()),
        expected => {
            Err(KernelError::Length { operand, expected: expected.unwrap_or(usize::MAX), found })
        }
    }
}
