//! Going from element to element of a window.

use std::ops::Range;

use super::{Fault, UNFIT};
use crate::plan::{MAX_RANK, Reading, Walk};

/// A place of a window: how far along each dimension it is, and what follows.
#[derive(Clone, Copy)]
pub(super) struct Place<const BOUNDS: usize> {
    index: [usize; MAX_RANK],
    pub(super) at: i64,
    pub(super) bounds: [i64; BOUNDS],
}

pub(super) fn steps<const BOUNDS: usize>(walk: &Walk) -> [i64; BOUNDS] {
    walk.bounds.first_chunk().copied().unwrap_or([0; BOUNDS])
}

impl<const BOUNDS: usize> Place<BOUNDS> {
    pub(super) const FIRST: Self = Self { index: [0; MAX_RANK], at: 0, bounds: [0; BOUNDS] };

    /// The place of line `number`, of the lines along the innermost dimension.
    pub(super) fn of(reading: &Reading, mut number: usize) -> Self {
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
    pub(super) fn advance(&mut self, walks: &[Walk]) -> bool {
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

pub(super) fn inner_and_outer(reading: &Reading) -> (Walk, &[Walk]) {
    let (inner, outer) = reading.dims().split_last().unzip();
    (inner.copied().unwrap_or_default(), outer.unwrap_or_default())
}

/// The sizes of all bounds. Nothing is beyond those that there are not.
pub(super) fn sizes<const BOUNDS: usize>(reading: &Reading) -> [i64; BOUNDS] {
    let mut sizes = [i64::MAX; BOUNDS];
    sizes.iter_mut().zip(reading.bounds()).for_each(|(to, bound)| *to = bound.size);
    sizes
}

/// Which of so many steps along `walk` are inside all bounds.
#[inline(always)]
pub(super) fn inside<const BOUNDS: usize>(
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
pub(super) fn each<T: Copy>(
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
