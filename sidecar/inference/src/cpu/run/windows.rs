//! Windows that are moved over an input.

use std::ops::Range;

use super::{Fault, Operands, memory::written};
use crate::plan::{ArchivedKind, ArchivedStep, ArchivedWindowed, MAX_RANK, Reading, Walk};

const UNFIT: Fault = Fault::Plan { what: "a window that does not fit" };
/// Elements that are taken together, and of how many a window may be for that.
const LANES: usize = 16;
const MOST_TOGETHER: usize = 64;

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

/// A place of a window: how far along each dimension it is, and what follows.
#[derive(Clone, Copy)]
struct Place<const BOUNDS: usize> {
    index: [usize; MAX_RANK],
    at: i64,
    bounds: [i64; BOUNDS],
}

fn steps<const BOUNDS: usize>(walk: &Walk) -> [i64; BOUNDS] {
    walk.bounds.first_chunk().copied().unwrap_or([0; BOUNDS])
}

impl<const BOUNDS: usize> Place<BOUNDS> {
    const FIRST: Self = Self { index: [0; MAX_RANK], at: 0, bounds: [0; BOUNDS] };

    /// The place of line `number`, of the lines along the innermost dimension.
    fn of(reading: &Reading, mut number: usize) -> Self {
        let mut place = Self { at: reading.first, ..Self::FIRST };
        for (to, bound) in place.bounds.iter_mut().zip(reading.bounds()) {
            *to = bound.start;
        }
        let (_, outer) = inner_and_outer(reading);
        for (walk, index) in outer.iter().zip(&mut place.index).rev() {
            *index = number.checked_rem(walk.count).unwrap_or(0);
            number = number.checked_div(walk.count).unwrap_or(0);
            let count = *index as i64;
            place.at += count * walk.step;
            let steps = steps::<BOUNDS>(walk);
            place.bounds.iter_mut().zip(steps).for_each(|(to, step)| *to += count * step);
        }
        place
    }

    /// Goes to the next one. Whether there was one; else it is the first again.
    #[inline(always)]
    fn advance(&mut self, walks: &[Walk]) -> bool {
        for (walk, index) in walks.iter().zip(&mut self.index).rev() {
            let steps = steps::<BOUNDS>(walk);
            *index += 1;
            self.at += walk.step;
            self.bounds.iter_mut().zip(steps).for_each(|(to, step)| *to += step);
            if *index < walk.count {
                return true;
            }
            let count = walk.count as i64;
            *index = 0;
            self.at -= count * walk.step;
            self.bounds.iter_mut().zip(steps).for_each(|(to, step)| *to -= count * step);
        }
        false
    }
}

fn inner_and_outer(reading: &Reading) -> (Walk, &[Walk]) {
    let (inner, outer) = reading.dims().split_last().unzip();
    (inner.copied().unwrap_or_default(), outer.unwrap_or_default())
}

/// The sizes of all bounds. Nothing is beyond those that there are not.
fn sizes<const BOUNDS: usize>(reading: &Reading) -> [i64; BOUNDS] {
    let mut sizes = [i64::MAX; BOUNDS];
    sizes.iter_mut().zip(reading.bounds()).for_each(|(to, bound)| *to = bound.size);
    sizes
}

/// Which of so many steps along `walk` are inside all bounds.
#[inline(always)]
fn inside<const BOUNDS: usize>(
    sizes: &[i64; BOUNDS],
    places: &[i64; BOUNDS],
    walk: &Walk,
) -> Range<usize> {
    let (mut start, mut end) = (0_i64, walk.count as i64);
    for ((size, place), step) in sizes.iter().zip(places).zip(steps::<BOUNDS>(walk)) {
        let (place, size) = (*place, *size);
        let (from, to) = match step {
            0 if (0..size).contains(&place) => continue,
            0 => return 0..0,
            1 => (-place, size - place),
            // Rounded up both times.
            step if step > 0 => (-place.div_euclid(step), -(place - size).div_euclid(step)),
            step => ((place - size).div_euclid(-step) + 1, place.div_euclid(-step) + 1),
        };
        (start, end) = (start.max(from), end.min(to));
    }
    if start < end { start as usize..end as usize } else { 0..0 }
}

/// Does something with each element of `to` and one of those that lie `step` apart from `start` on.
#[inline(always)]
fn each<T: Copy>(
    input: &[T],
    start: i64,
    step: i64,
    to: &mut [T],
    mut take: impl FnMut(&mut T, T),
) -> Result<(), Fault> {
    let Some(last) = to.len().checked_sub(1) else { return Ok(()) };
    let end = start + step * last as i64;
    let place = |it: i64| usize::try_from(it).map_err(|_| UNFIT);
    let read = input.get(place(start.min(end))?..=place(start.max(end))?).ok_or(UNFIT)?;
    match step {
        1 => to.iter_mut().zip(read).for_each(|(to, from)| take(to, *from)),
        0 => to.iter_mut().for_each(|to| read.iter().for_each(|from| take(to, *from))),
        step if step > 0 => {
            let from = read.iter().step_by(step as usize);
            to.iter_mut().zip(from).for_each(|(to, from)| take(to, *from));
        }
        step => {
            let from = read.iter().rev().step_by(step.unsigned_abs() as usize);
            to.iter_mut().zip(from).for_each(|(to, from)| take(to, *from));
        }
    }
    Ok(())
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

/// What is taken of all elements that a window shows, with their weights.
#[derive(Clone, Copy)]
struct Fold<'a, F> {
    reading: &'a Reading,
    input: &'a [f32],
    weights: Option<&'a [f32]>,
    start: f32,
    take: F,
}

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

/// What is shown where all of a window lies in the input: from which element on, and how far from that
/// each is.
struct Whole<const BOUNDS: usize> {
    first: i64,
    offsets: [usize; MOST_TOGETHER],
    /// How far the elements of a line and its window go in each bound, back and forth.
    least: [i64; BOUNDS],
    most: [i64; BOUNDS],
}

impl<F: Fn(&mut f32, f32, f32) + Copy> Fold<'_, F> {
    fn write<const BOUNDS: usize>(&self, output: &mut [f32]) -> Result<(), Fault> {
        let (inner, outer) = inner_and_outer(self.reading);
        let taps = self.reading.taps();
        if inner.count == 0 || output.is_empty() {
            return Ok(());
        }
        let shown = taps.iter().map(|it| it.count).product::<usize>();
        if self.weights.is_some_and(|it| it.len() != shown * inner.count) {
            return Err(UNFIT);
        }
        output.fill(self.start);
        if shown == 0 {
            return Ok(());
        }
        let sizes = sizes::<BOUNDS>(self.reading);
        let whole = self.whole::<BOUNDS>(shown, &inner);
        let mut place = Place::<BOUNDS>::of(self.reading, 0);
        for line in output.chunks_exact_mut(inner.count) {
            match &whole {
                Some(whole) if whole.is_inside(&sizes, &place) => {
                    let offsets = whole.offsets.get(..shown).unwrap_or_default();
                    self.together(place.at + whole.first, offsets, line)?;
                }
                _ => self.apart(&sizes, &place, &inner, line)?,
            }
            place.advance(outer);
        }
        Ok(())
    }

    fn whole<const BOUNDS: usize>(&self, shown: usize, inner: &Walk) -> Option<Whole<BOUNDS>> {
        let taps = self.reading.taps();
        if inner.step != 1 || shown > MOST_TOGETHER {
            return None;
        }
        let (mut least, mut most) = ([0; BOUNDS], [0; BOUNDS]);
        let mut first = 0;
        for walk in taps.iter().chain([inner]) {
            let last = walk.count as i64 - 1;
            for ((least, most), step) in least.iter_mut().zip(&mut most).zip(steps::<BOUNDS>(walk))
            {
                *least += (last * step).min(0);
                *most += (last * step).max(0);
            }
            first += (last * walk.step).min(0);
        }
        let mut offsets = [0; MOST_TOGETHER];
        let mut tap = Place::<0>::FIRST;
        for offset in offsets.iter_mut().take(shown) {
            *offset = usize::try_from(tap.at - first).ok()?;
            tap.advance(taps);
        }
        Some(Whole { first, offsets, least, most })
    }

    /// A line of which every window lies in the input, a few elements at a time, so that what is taken of
    /// them stays in registers.
    fn together(&self, first: i64, offsets: &[usize], line: &mut [f32]) -> Result<(), Fault> {
        let input = usize::try_from(first).ok().and_then(|first| self.input.get(first..));
        let input = input.ok_or(UNFIT)?;
        let width = line.len();
        let (groups, rest) = line.as_chunks_mut::<LANES>();
        let after = groups.len() * LANES;
        for (at, group) in groups.iter_mut().enumerate() {
            let at = at * LANES;
            let mut taken = [self.start; LANES];
            for (number, offset) in offsets.iter().enumerate() {
                let from: &[f32; LANES] =
                    input.get(offset + at..).and_then(<[f32]>::first_chunk).ok_or(UNFIT)?;
                match self.weights {
                    Some(weights) => {
                        let weights = weights.get(number * width + at..);
                        let weights: &[f32; LANES] =
                            weights.and_then(<[f32]>::first_chunk).ok_or(UNFIT)?;
                        let pairs = from.iter().zip(weights);
                        let each = taken.iter_mut().zip(pairs);
                        each.for_each(|(to, (from, weight))| (self.take)(to, *from, *weight));
                    }
                    None => {
                        let each = taken.iter_mut().zip(from);
                        each.for_each(|(to, from)| (self.take)(to, *from, 1.0));
                    }
                }
            }
            *group = taken;
        }
        for (number, offset) in offsets.iter().enumerate() {
            let start = (offset + after) as i64;
            self.line(input, start, 1, number * width + after, rest)?;
        }
        Ok(())
    }

    /// A line of which some windows go beyond the input.
    fn apart<const BOUNDS: usize>(
        &self,
        sizes: &[i64; BOUNDS],
        place: &Place<BOUNDS>,
        inner: &Walk,
        line: &mut [f32],
    ) -> Result<(), Fault> {
        let taps = self.reading.taps();
        let mut tap = Place::<BOUNDS>::FIRST;
        let mut first = 0;
        loop {
            let mut bounds = place.bounds;
            bounds.iter_mut().zip(tap.bounds).for_each(|(to, step)| *to += step);
            let range = inside(sizes, &bounds, inner);
            let at = place.at + tap.at + range.start as i64 * inner.step;
            let weights = first + range.start;
            let line = line.get_mut(range).unwrap_or_default();
            self.line(self.input, at, inner.step, weights, line)?;
            first += inner.count;
            if !tap.advance(taps) {
                return Ok(());
            }
        }
    }

    /// Takes one element for each of a line, with weights from one on.
    #[inline(always)]
    fn line(
        &self,
        input: &[f32],
        start: i64,
        step: i64,
        weights: usize,
        line: &mut [f32],
    ) -> Result<(), Fault> {
        let Some(all) = self.weights else {
            return each(input, start, step, line, |to, from| (self.take)(to, from, 1.0));
        };
        let mut weights = all.get(weights..weights + line.len()).ok_or(UNFIT)?.iter();
        each(input, start, step, line, |to, from| {
            (self.take)(to, from, weights.next().copied().unwrap_or_default());
        })
    }
}

impl<const BOUNDS: usize> Whole<BOUNDS> {
    #[inline(always)]
    fn is_inside(&self, sizes: &[i64; BOUNDS], place: &Place<BOUNDS>) -> bool {
        let ends = place.bounds.iter().zip(self.least.iter().zip(&self.most));
        ends.zip(sizes).all(|((place, (least, most)), size)| {
            place + least >= 0 && place.saturating_add(*most) < *size
        })
    }
}
