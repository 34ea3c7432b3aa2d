//! What a thin change of a matrix adds to a product.
//!
//! A matrix that differs from another one by a product of two thin matrices needs no panels of its
//! own: what the thin ones make of each row is added to what the other one made of it. Few rows meet
//! each change, so what counts is to read it straight through, once. Each row is computed by itself
//! and in one order, and comes out the same to the bit whichever rows are beside it.

use half::{f16, slice::HalfFloatSliceExt};

use crate::{Finish, KernelError, Scratch, run};

/// So many sums are kept in registers at once.
const WIDTH: usize = 64;
const LINE_BYTES: usize = 64;
/// So many numbers are widened at once.
pub(crate) const STEP: usize = 16;

/// Two thin matrices of `rank` rows each: the first row after row, the second in the order in which it is
/// read ([`column_blocks`]).
#[derive(Debug, Clone, Copy)]
pub struct LowRank<'a> {
    pair: Pair<'a>,
    rank: usize,
}

/// The first and the second.
#[derive(Debug, Clone, Copy)]
enum Pair<'a> {
    F32([&'a [f32]; 2]),
    F16([&'a [f16]; 2]),
    /// With what the products of each row of both are multiplied with.
    I8([&'a [i8]; 2], &'a [f32]),
}

impl Pair<'_> {
    fn lengths(&self) -> [usize; 2] {
        match self {
            Self::F32(both) => both.map(<[_]>::len),
            Self::F16(both) => both.map(<[_]>::len),
            Self::I8(both, _) => both.map(<[_]>::len),
        }
    }
}

impl<'a> LowRank<'a> {
    /// `down` has `rank` rows of as many numbers as the left operand of a product has in a row, and
    /// `up` as many of as many as the product has, in the order of [`column_blocks`].
    ///
    /// # Errors
    /// [`KernelError::Length`] where they are not of whole rows.
    pub fn new(down: &'a [f32], up: &'a [f32], rank: usize) -> Result<Self, KernelError> {
        Self::of(Pair::F32([down, up]), rank)
    }

    /// The same of 16-bit floats, which are widened while they are read.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_halves(down: &'a [f16], up: &'a [f16], rank: usize) -> Result<Self, KernelError> {
        Self::of(Pair::F16([down, up]), rank)
    }

    /// The same of 8-bit integers, of which row `j` of the first times row `j` of the second is multiplied
    /// with the number `j` of `scales`; there are as many as the rank.
    ///
    /// # Errors
    /// As [`Self::new`], and where there are not as many scales.
    pub fn of_bytes(down: &'a [i8], up: &'a [i8], scales: &'a [f32]) -> Result<Self, KernelError> {
        Self::of(Pair::I8([down, up], scales), scales.len())
    }

    fn of(pair: Pair<'a>, rank: usize) -> Result<Self, KernelError> {
        let operands = ["first thin matrix", "second thin matrix"];
        for (operand, found) in operands.into_iter().zip(pair.lengths()) {
            if !found.is_multiple_of(rank.max(1)) || (rank == 0 && found > 0) {
                return Err(KernelError::Length { operand, expected: rank, found });
            }
        }
        Ok(Self { pair, rank })
    }

    /// How many rows both have.
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// How many numbers the first has, and the second.
    pub fn lengths(&self) -> [usize; 2] {
        self.pair.lengths()
    }

    /// Where both start.
    fn starts(&self) -> [*const u8; 2] {
        match self.pair {
            Pair::F32(both) => both.map(|it| it.as_ptr().cast()),
            Pair::F16(both) => both.map(|it| it.as_ptr().cast()),
            Pair::I8(both, _) => both.map(|it| it.as_ptr().cast()),
        }
    }

    /// How far ahead of what is read of either memory is to be asked: at the same place of the one that is
    /// `next`, where that is of the same size.
    fn ahead(&self, next: Option<&Self>) -> [Ahead; 2] {
        let is_alike = |next: &&Self| {
            std::mem::discriminant(&next.pair) == std::mem::discriminant(&self.pair)
                && next.lengths() == self.lengths()
        };
        let Some(next) = next.filter(is_alike) else { return [Ahead::default(); 2] };
        let [down, up] = self.starts();
        let [next_down, next_up] = next.starts();
        [(down, next_down), (up, next_up)]
            .map(|(from, to)| Ahead(Some(to.addr().wrapping_sub(from.addr()))))
    }

    /// The length of what it is multiplied with, and of what comes out.
    fn sizes(&self) -> (usize, usize) {
        let [down, up] = self.pair.lengths();
        (down / self.rank.max(1), up / self.rank.max(1))
    }

    /// Both as 32-bit floats, row after row.
    pub fn unpack(&self) -> [Vec<f32>; 2] {
        let (inner, columns) = self.sizes();
        let [down, up] = match self.pair {
            Pair::F32(both) => both.map(<[_]>::to_vec),
            Pair::F16(both) => both.map(|it| it.to_f32_vec()),
            Pair::I8([down, up], scales) => {
                let rows = down.chunks_exact(inner.max(1)).zip(scales);
                let down =
                    rows.flat_map(|(row, scale)| row.iter().map(|it| f32::from(*it) * *scale));
                [down.collect(), up.iter().map(|it| f32::from(*it)).collect()]
            }
        };
        let mut rows = vec![0.0; up.len()];
        for (to, from) in column_blocks(self.rank, columns).zip(up) {
            if let Some(to) = rows.get_mut(to) {
                *to = from;
            }
        }
        [down, rows]
    }
}

/// The order in which the second thin matrix is kept: for each place, in this order, which number it is of
/// `rank` rows of so many columns. All rows of 64 columns come before those of the next 64, so that what a
/// product reads of all rows at once lies together, and not at distances at which a cache keeps few lines.
pub fn column_blocks(rank: usize, columns: usize) -> impl Iterator<Item = usize> {
    (0..columns).step_by(WIDTH).flat_map(move |start| {
        let end = columns.min(start.saturating_add(WIDTH));
        (0..rank).flat_map(move |row| (start..end).map(move |column| row * columns + column))
    })
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
    /// The change that is read next: memory is asked for it meanwhile.
    pub next: Option<LowRank<'a>>,
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
    /// Computes them, with `wide` to widen 16-bit floats.
    #[inline(always)]
    pub(crate) fn compute(self, wide: impl Widen) {
        let Self { left, columns, correction, thin, output } = self;
        let pair = correction.low_rank.filter(|pair| pair.rank > 0);
        let inner = pair.map_or(0, |pair| pair.sizes().0);
        for (at, to) in output.chunks_exact_mut(columns).enumerate() {
            if let Some(pair) = &pair {
                let row = left.get(at * inner..(at + 1) * inner).unwrap_or_default();
                // Once is enough.
                let next = correction.next.as_ref().filter(|_| at == 0);
                let ahead = pair.ahead(next);
                match pair.pair {
                    Pair::F32([down, up]) => {
                        narrow(row, down, wide, ahead[0], thin);
                        widen(thin, up, wide, ahead[1], to);
                    }
                    Pair::F16([down, up]) => {
                        narrow(row, down, wide, ahead[0], thin);
                        widen(thin, up, wide, ahead[1], to);
                    }
                    Pair::I8([down, up], scales) => {
                        narrow(row, down, wide, ahead[0], thin);
                        thin.iter_mut().zip(scales).for_each(|(to, scale)| *to *= scale);
                        widen(thin, up, wide, ahead[1], to);
                    }
                }
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

/// How 16-bit floats become 32-bit ones.
pub(crate) trait Widen: Fn(&[f16; STEP]) -> [f32; STEP] + Copy {}

impl<F: Fn(&[f16; STEP]) -> [f32; STEP] + Copy> Widen for F {}

/// As any processor does it.
#[inline(always)]
pub(crate) fn widened(numbers: &[f16; STEP]) -> [f32; STEP] {
    let mut all = [0.0; STEP];
    numbers.convert_to_f32_slice(&mut all);
    all
}

/// So many bytes ahead of what is read memory is asked for what comes; where it is not said, as far as is
/// best for a kind of numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Ahead(Option<usize>);

/// What a thin matrix is kept as.
trait Number: Copy + Default {
    /// So far ahead memory is asked for what comes, where that is faster than leaving it to the processor.
    const AHEAD_BYTES: Option<usize> = None;

    fn read(from: &[Self; STEP], wide: impl Widen) -> [f32; STEP];
}

impl Number for f32 {
    #[inline(always)]
    fn read(from: &[Self; STEP], _: impl Widen) -> [f32; STEP] {
        *from
    }
}

impl Number for f16 {
    #[inline(always)]
    fn read(from: &[Self; STEP], wide: impl Widen) -> [f32; STEP] {
        wide(from)
    }
}

impl Number for i8 {
    /// A page, which is as far as a processor looks ahead by itself.
    const AHEAD_BYTES: Option<usize> = Some(4096);

    #[inline(always)]
    fn read(from: &[Self; STEP], _: impl Widen) -> [f32; STEP] {
        from.map(f32::from)
    }
}

/// Asks memory for what is ahead of `numbers`, once for each line of a cache.
#[inline(always)]
fn ask_ahead<N: Number>(numbers: &[N; WIDTH], ahead: Ahead) {
    if let Some(ahead) = ahead.0.or(N::AHEAD_BYTES) {
        let numbers = numbers.as_ptr().cast::<u8>().wrapping_add(ahead);
        for line in (0..size_of::<[N; WIDTH]>()).step_by(LINE_BYTES) {
            run::fetch(numbers.wrapping_add(line));
        }
    }
}

/// `thin[j] = row · down[j]`.
#[inline(always)]
fn narrow<N: Number>(row: &[f32], down: &[N], wide: impl Widen, ahead: Ahead, thin: &mut [f32]) {
    if row.is_empty() {
        thin.fill(0.0);
        return;
    }
    for (to, down) in thin.iter_mut().zip(down.chunks_exact(row.len())) {
        *to = dot(row, down, wide, ahead);
    }
}

#[inline(always)]
fn dot<N: Number>(a: &[f32], b: &[N], wide: impl Widen, ahead: Ahead) -> f32 {
    let ((wide_a, rest_a), (wide_b, rest_b)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
    // What is added up in a loop is touched by nothing else, so that it stays in registers.
    let mut inner = [0.0; WIDTH];
    for (a, b) in wide_a.iter().zip(wide_b) {
        ask_ahead(b, ahead);
        let numbers = read(b, wide);
        inner.iter_mut().zip(a.iter().zip(&numbers)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    let mut sums = inner;
    if !rest_a.is_empty() {
        let numbers = read(&filled(rest_b), wide);
        sums.iter_mut().zip(rest_a.iter().zip(&numbers)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    // By halves, so that additions do not wait for each other.
    let mut length = WIDTH / 2;
    while length > 0 {
        let (low, high) = sums.split_at_mut(length);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
        length /= 2;
    }
    sums[0]
}

/// `to += thin · up`, of numbers in the order of [`column_blocks`].
#[inline(always)]
fn widen<N: Number>(thin: &[f32], up: &[N], wide: impl Widen, ahead: Ahead, to: &mut [f32]) {
    let (chunks, rest) = to.as_chunks_mut::<WIDTH>();
    let (wide_up, rest_up) =
        up.split_at_checked(chunks.len() * WIDTH * thin.len()).unwrap_or_default();
    let blocks = wide_up.as_chunks::<WIDTH>().0.chunks_exact(thin.len().max(1));
    for (to, block) in chunks.iter_mut().zip(blocks) {
        let mut sums = *to;
        for (scale, record) in thin.iter().zip(block) {
            ask_ahead(record, ahead);
            let numbers = read(record, wide);
            sums.iter_mut().zip(&numbers).for_each(|(sum, number)| *sum += scale * number);
        }
        *to = sums;
    }
    if rest.is_empty() {
        return;
    }
    for (scale, row) in thin.iter().zip(rest_up.chunks_exact(rest.len())) {
        let numbers = read(&filled(row), wide);
        rest.iter_mut().zip(&numbers).for_each(|(sum, number)| *sum += scale * number);
    }
}

#[inline(always)]
fn read<N: Number>(from: &[N; WIDTH], wide: impl Widen) -> [f32; WIDTH] {
    let mut numbers = [0.0; WIDTH];
    let ((to, _), (from, _)) = (numbers.as_chunks_mut::<STEP>(), from.as_chunks::<STEP>());
    to.iter_mut().zip(from).for_each(|(to, from)| *to = N::read(from, wide));
    numbers
}

/// What is left of a row, with zeros behind it.
#[inline(always)]
fn filled<N: Number>(rest: &[N]) -> [N; WIDTH] {
    let mut all = [N::default(); WIDTH];
    all.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    all
}
