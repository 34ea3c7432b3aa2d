//! What a thin change of a matrix adds to a product.
//!
//! A matrix that differs from another one by a product of two thin matrices needs no panels of its
//! own: what the thin ones make of each row is added to what the other one made of it. Few rows meet
//! each change, so what counts is to read it straight through, once. Each row is computed by itself
//! and in one order, and comes out the same to the bit whichever rows are beside it.

use crate::{Finish, KernelError, Scratch, run};

/// So many sums are kept in registers at once.
const WIDTH: usize = 64;

/// Two thin matrices, row after row, both with their `rank` rows outermost.
#[derive(Debug, Clone, Copy)]
pub struct LowRank<'a> {
    down: &'a [f32],
    up: &'a [f32],
    rank: usize,
}

impl<'a> LowRank<'a> {
    /// `down` has `rank` rows of as many numbers as the left operand of a product has in a row, and
    /// `up` as many of as many as the product has.
    ///
    /// # Errors
    /// [`KernelError::Length`] where they are not of whole rows.
    pub fn new(down: &'a [f32], up: &'a [f32], rank: usize) -> Result<Self, KernelError> {
        for (operand, numbers) in [("first thin matrix", down), ("second thin matrix", up)] {
            if !numbers.len().is_multiple_of(rank.max(1)) || (rank == 0 && !numbers.is_empty()) {
                let (expected, found) = (rank, numbers.len());
                return Err(KernelError::Length { operand, expected, found });
            }
        }
        Ok(Self { down, up, rank })
    }

    /// The length of what it is multiplied with, and of what comes out.
    fn sizes(&self) -> (usize, usize) {
        (self.down.len() / self.rank.max(1), self.up.len() / self.rank.max(1))
    }
}

/// What is added to a product, and then done to it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Correction<'a> {
    /// A change of the matrix.
    pub low_rank: Option<LowRank<'a>>,
    /// A number for each column.
    pub bias: Option<&'a [f32]>,
    /// What is done to each number when both are added.
    pub finish: Finish,
}

impl Scratch {
    /// `output = finish(output + (left · down) · up + bias)`, where `left` has `rows` rows and
    /// `output` as many rows of `columns`.
    ///
    /// # Errors
    /// [`KernelError::Length`] where an operand does not fit the others.
    pub fn correct(
        &mut self,
        left: &[f32],
        (rows, columns): (usize, usize),
        correction: &Correction<'_>,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        let exactly = |operand, expected: Option<usize>, found| match expected {
            Some(expected) if expected == found => Ok(()),
            _ => Err(KernelError::Length {
                operand,
                expected: expected.unwrap_or(usize::MAX),
                found,
            }),
        };
        exactly("output", rows.checked_mul(columns), output.len())?;
        if let Some(bias) = correction.bias {
            exactly("bias", Some(columns), bias.len())?;
        }
        if let Some(pair) = &correction.low_rank
            && pair.rank > 0
        {
            let (inner, wide) = pair.sizes();
            exactly("second thin matrix", Some(columns), wide)?;
            exactly("left operand", rows.checked_mul(inner), left.len())?;
            self.thin.clear();
            self.thin.resize(pair.rank, 0.0);
        }
        if columns > 0 {
            run::correct(Rows { left, columns, correction, thin: &mut self.thin, output });
        }
        Ok(())
    }
}

/// Rows that are corrected, with lengths that fit.
pub(crate) struct Rows<'a> {
    left: &'a [f32],
    columns: usize,
    correction: &'a Correction<'a>,
    /// As many numbers as the pair's rank.
    thin: &'a mut [f32],
    output: &'a mut [f32],
}

impl Rows<'_> {
    #[inline(always)]
    pub(crate) fn compute(self) {
        let Self { left, columns, correction, thin, output } = self;
        let pair = correction.low_rank.filter(|pair| pair.rank > 0);
        let inner = pair.map_or(0, |pair| pair.sizes().0);
        for (at, to) in output.chunks_exact_mut(columns).enumerate() {
            if let Some(pair) = &pair {
                let row = left.get(at * inner..(at + 1) * inner).unwrap_or_default();
                narrow(row, pair.down, thin);
                widen(thin, pair.up, to);
            }
            if let Some(bias) = correction.bias {
                to.iter_mut().zip(bias).for_each(|(to, bias)| *to += bias);
            }
            if correction.finish == Finish::Relu {
                to.iter_mut().for_each(|to| *to = to.max(0.0));
            }
        }
    }
}

/// `thin[j] = row · down[j]`.
#[inline(always)]
fn narrow(row: &[f32], down: &[f32], thin: &mut [f32]) {
    if row.is_empty() {
        thin.fill(0.0);
        return;
    }
    for (to, down) in thin.iter_mut().zip(down.chunks_exact(row.len())) {
        *to = dot(row, down);
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((wide_a, rest_a), (wide_b, rest_b)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
    // What is added up in a loop is touched by nothing else, so that it stays in registers.
    let mut inner = [0.0; WIDTH];
    for (a, b) in wide_a.iter().zip(wide_b) {
        inner.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    let mut sums = inner;
    sums.iter_mut().zip(rest_a.iter().zip(rest_b)).for_each(|(sum, (a, b))| *sum += a * b);
    // By halves, so that additions do not wait for each other.
    let mut length = WIDTH / 2;
    while length > 0 {
        let (low, high) = sums.split_at_mut(length);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
        length /= 2;
    }
    sums[0]
}

/// `to += thin · up`.
#[inline(always)]
fn widen(thin: &[f32], up: &[f32], to: &mut [f32]) {
    let columns = to.len();
    let (wide, rest) = to.as_chunks_mut::<WIDTH>();
    let start = wide.len() * WIDTH;
    for (at, to) in wide.iter_mut().enumerate() {
        let mut sums = *to;
        for (scale, row) in thin.iter().zip(up.chunks_exact(columns)) {
            let Some(record) = row.get(at * WIDTH..).and_then(|it| it.first_chunk::<WIDTH>())
            else {
                continue;
            };
            sums.iter_mut().zip(record).for_each(|(sum, number)| *sum += scale * number);
        }
        *to = sums;
    }
    for (scale, row) in thin.iter().zip(up.chunks_exact(columns)) {
        let record = row.get(start..).unwrap_or_default();
        rest.iter_mut().zip(record).for_each(|(sum, number)| *sum += scale * number);
    }
}
