//! The largest, or the sum, of what a window shows.

use super::{
    Fault, UNFIT,
    place::{Place, each, inner_and_outer, inside, sizes, steps},
};
use crate::plan::{Reading, Walk};

/// Elements that are taken together, and of how many a window may be for that.
const LANES: usize = 16;
const MOST_TOGETHER: usize = 64;

/// What is taken of all elements that a window shows, with their weights.
#[derive(Clone, Copy)]
pub(super) struct Fold<'a, F> {
    pub(super) reading: &'a Reading,
    pub(super) input: &'a [f32],
    pub(super) weights: Option<&'a [f32]>,
    pub(super) start: f32,
    pub(super) take: F,
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
    pub(super) fn write<const BOUNDS: usize>(&self, output: &mut [f32]) -> Result<(), Fault> {
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
