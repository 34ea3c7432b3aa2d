//! Products of one row, which are as fast as memory gives the matrix.
//!
//! A kernel that keeps many rows in registers does nothing for one: each number of the matrix is
//! used once. What counts is to read panels straight through and to do little beside, which plain
//! loops over whole records do when they are compiled for vectors.

use zerocopy::FromBytes;

use crate::{Element, Finish, Panels};

/// The lanes of the panels that are read here.
pub(crate) const LANES: usize = 16;
/// Records are summed up in as many sums, so that an addition need not wait for the last one.
const SUMS: usize = 4;
/// Narrow records are widened so many at a time, into memory that stays in the nearest cache.
const WIDENED: usize = 32;

/// As many numbers as a panel has lanes.
pub(crate) type Record = [f32; LANES];

/// A product of one row with panels of [`LANES`] lanes.
pub(crate) struct Row<'a> {
    /// As many numbers as the matrix has rows.
    pub(crate) left: &'a [f32],
    pub(crate) right: &'a Panels<'a>,
    pub(crate) finish: Finish,
    /// As many numbers as the matrix has columns.
    pub(crate) output: &'a mut [f32],
}

impl Row<'_> {
    #[inline(always)]
    pub(crate) fn compute(self) {
        let Self { left, right, finish, output } = self;
        for (at, to) in output.chunks_mut(LANES).enumerate() {
            let panel = right.panel(at);
            let record = match right.shape.element {
                Element::F32 => wide(left, panel, right.shape.has_bias),
                element => narrow(left, panel, element),
            };
            match finish {
                Finish::None => to.iter_mut().zip(record).for_each(|(to, from)| *to = from),
                Finish::Relu => {
                    to.iter_mut().zip(record).for_each(|(to, from)| *to = from.max(0.0));
                }
            }
        }
    }
}

#[inline(always)]
fn wide(left: &[f32], panel: &[u8], has_bias: bool) -> Record {
    let numbers = <[f32]>::ref_from_bytes(panel).unwrap_or_default();
    let (records, _) = numbers.as_chunks::<LANES>();
    let (matrix, rest) = records.split_at_checked(left.len()).unwrap_or_default();
    let mut sums = [[0.0; LANES]; SUMS];
    sum_up(left, matrix, &mut sums);
    let sum = added(&sums);
    match rest.first() {
        Some(bias) if has_bias => std::array::from_fn(|lane| sum[lane] + bias[lane]),
        _ => sum,
    }
}

/// Scales are of columns, and so of sums: each is applied once.
#[inline(always)]
fn narrow(left: &[f32], panel: &[u8], element: Element) -> Record {
    let head = 2 * LANES * size_of::<f32>();
    let (head, body) = panel.split_at_checked(head).unwrap_or_default();
    let head = <[f32]>::ref_from_bytes(head).unwrap_or_default();
    let ([scales, bias], _) = head.as_chunks::<LANES>() else { return [0.0; LANES] };
    let mut widened = [[0.0; LANES]; WIDENED];
    let mut sums = [[0.0; LANES]; SUMS];
    let bytes = WIDENED * LANES * element.bytes();
    for (left, bytes) in left.chunks(WIDENED).zip(body.chunks(bytes)) {
        let records = widened.get_mut(..left.len()).unwrap_or_default();
        element.widen(bytes, records.as_flattened_mut());
        sum_up(left, records, &mut sums);
    }
    let sum = added(&sums);
    std::array::from_fn(|lane| sum[lane] * scales[lane] + bias[lane])
}

#[inline(always)]
fn sum_up(left: &[f32], records: &[Record], sums: &mut [Record; SUMS]) {
    let (lefts, last_lefts) = left.as_chunks::<SUMS>();
    let (groups, last_records) = records.as_chunks::<SUMS>();
    // Each by its name, so that it stays in registers.
    let [mut first, mut second, mut third, mut fourth] = *sums;
    for ([a, b, c, d], [of_a, of_b, of_c, of_d]) in lefts.iter().zip(groups) {
        first = plus_scaled(&first, *a, of_a);
        second = plus_scaled(&second, *b, of_b);
        third = plus_scaled(&third, *c, of_c);
        fourth = plus_scaled(&fourth, *d, of_d);
    }
    for (left, record) in last_lefts.iter().zip(last_records) {
        first = plus_scaled(&first, *left, record);
    }
    *sums = [first, second, third, fourth];
}

#[inline(always)]
fn plus_scaled(sum: &Record, scale: f32, record: &Record) -> Record {
    std::array::from_fn(|lane| sum[lane] + scale * record[lane])
}

#[inline(always)]
fn added(sums: &[Record; SUMS]) -> Record {
    std::array::from_fn(|lane| sums.iter().map(|sum| sum[lane]).sum())
}
