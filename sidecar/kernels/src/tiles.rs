//! Products on processors with AVX-512.
//!
//! tract-linalg's kernels for panels of 16 lanes keep 12 sums in registers, and wait for memory at
//! every one. Two panels at once make 24 of them, so that each number that is read is used twice as
//! often. Rows are taken as they lie, narrow elements are widened on their way into a register, and
//! panels are the same as ever. Each number of a product is summed up in one order, so that a row's
//! answer is the same to the bit whatever the batch that it is in.

use zerocopy::FromBytes;

use crate::{
    Element, Finish, Panels,
    row::{LANES, Record},
    run,
};

/// The most rows of a tile: two vectors of sums for each, and a few registers more.
pub(crate) const TILE_ROWS: usize = 12;

/// The sums of a row and two panels.
pub(crate) type Pair = [Record; 2];

/// `output = finish(left · right + bias)`. The processor has tiles, the panels have [`LANES`] lanes,
/// and all lengths are those of the shapes, of which none is 0.
pub(crate) fn product(left: &[f32], right: &Panels<'_>, finish: Finish, output: &mut [f32]) {
    let columns = right.shape.columns;
    for at in (0..right.shape.panels()).step_by(2) {
        let pair = [Parts::of(right, at), Parts::of(right, at + 1)];
        let first = at * LANES;
        let width = (columns - first).min(2 * LANES);
        for_each_row(left, right, &pair, |row, sums| {
            let start = row * columns + first;
            let to = output.get_mut(start..start + width).unwrap_or_default();
            let sums = to.iter_mut().zip(sums.as_flattened());
            match finish {
                Finish::None => sums.for_each(|(to, sum)| *to = *sum),
                Finish::Relu => sums.for_each(|(to, sum)| *to = sum.max(0.0)),
            }
        });
    }
}

/// What a panel holds. One that there is not holds nothing, and its sums go nowhere.
struct Parts<'a> {
    /// The bytes of the matrix.
    matrix: &'a [u8],
    scales: Record,
    bias: Record,
}

impl<'a> Parts<'a> {
    fn of(panels: &Panels<'a>, at: usize) -> Self {
        let shape = &panels.shape;
        let panel = panels.panel(at);
        let record = |at: usize| -> Option<Record> {
            let bytes = panel.get(at..)?.get(..LANES * size_of::<f32>())?;
            <[f32]>::ref_from_bytes(bytes).ok()?.try_into().ok()
        };
        let bytes = shape.inner * LANES * shape.element.bytes();
        let wide = LANES * size_of::<f32>();
        let (start, scales, bias) = match shape.element {
            Element::F32 => (0, None, record(bytes).filter(|_| shape.has_bias)),
            Element::F16 | Element::I8 => (2 * wide, record(0), record(wide)),
        };
        Self {
            matrix: panel.get(start..start + bytes).unwrap_or_default(),
            scales: scales.unwrap_or([1.0; LANES]),
            bias: bias.unwrap_or_default(),
        }
    }

    fn finished(&self, sums: &Record) -> Record {
        std::array::from_fn(|lane| sums[lane] * self.scales[lane] + self.bias[lane])
    }
}

/// Computes all rows by two panels, and hands the numbers of each row on.
fn for_each_row(
    left: &[f32],
    right: &Panels<'_>,
    pair: &[Parts<'_>; 2],
    mut take: impl FnMut(usize, &Pair),
) {
    let inner = right.shape.inner;
    // Where there is no second panel the first is read twice.
    let [first, second] = pair;
    let second_matrix = if second.matrix.is_empty() { first.matrix } else { second.matrix };
    let rows = left.len() / inner;
    let tiles = rows.div_ceil(TILE_ROWS);
    let mut at = 0;
    for tiles_left in (1..=tiles).rev() {
        // Tiles of nearly one height are better than whole ones and a rest.
        let height = (rows - at).div_ceil(tiles_left);
        let numbers = left.get(at * inner..(at + height) * inner).unwrap_or_default();
        let mut sums = [[[0.0; LANES]; 2]; TILE_ROWS];
        let sums = sums.get_mut(..height).unwrap_or_default();
        run::tile(numbers, right.shape.element, [first.matrix, second_matrix], sums);
        for (row, [one, other]) in sums.iter().enumerate() {
            take(at + row, &[first.finished(one), second.finished(other)]);
        }
        at += height;
    }
}
