//! How a window reads its input, once sizes are known.

use super::{
    ArchivedAlong, ArchivedKind, ArchivedPlan, ArchivedStep, ArchivedTap, ArchivedWindowed,
    MAX_RANK,
};

/// The most elements that a window shows at once.
const MOST_TAPS: u64 = 1 << 20;
/// What strides and starts are below, in magnitude.
const FARTHEST: i64 = 1 << 31;

/// What is wrong with a window of a plan, beside what is wrong with any step.
pub(super) fn check(plan: &ArchivedPlan, step: &ArchivedStep) -> Result<(), &'static str> {
    let ArchivedStep::Window { op, input, weights, output, along, taps, .. } = step else {
        return Ok(());
    };
    if plan.version.to_native() < 2 {
        return Err("a window in a plan of a version that has none");
    }
    let value = |at: u32| plan.value(at).ok_or("a window over a value that there is not");
    let (from, to) = (value(input.to_native())?, value(output.to_native())?);
    let rank = from.shape.len();
    let is_near = |it: i64| it.unsigned_abs() < FARTHEST.unsigned_abs();
    let moves = along.iter().all(|it| {
        it.axis.to_native() as usize <= rank
            && is_near(it.stride.to_native())
            && is_near(it.start.to_native())
    });
    let shows = taps
        .iter()
        .all(|it| (it.axis.to_native() as usize) < rank && is_near(it.stride.to_native()));
    if along.len() != to.shape.len() || taps.len() > MAX_RANK || !moves || !shows {
        return Err("a window along dimensions that there are not");
    }
    let mut counts = taps.iter().map(|it| u64::from(it.count.to_native()));
    if counts.try_fold(1_u64, |all, it| all.checked_mul(it)).is_none_or(|all| all > MOST_TAPS) {
        return Err("a window of too many elements");
    }
    let is_float = from.kind == ArchivedKind::F32;
    let fits = match op {
        ArchivedWindowed::Copy => taps.is_empty() && weights.is_none(),
        ArchivedWindowed::Max => is_float && weights.is_none(),
        ArchivedWindowed::Sum => is_float,
    };
    if !fits || from.kind != to.kind {
        return Err("a window of another kind");
    }
    if let Some(weights) = weights.as_ref() {
        let weights = value(weights.to_native())?;
        let is_last = weights.shape.last() == to.shape.last() && !to.shape.is_empty();
        if weights.kind != ArchivedKind::F32 || weights.shape.len() != taps.len() + 1 || !is_last {
            return Err("a window with weights of another shape");
        }
    }
    Ok(())
}

/// A dimension of the output, or of the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Walk {
    /// How many steps there are.
    pub count: usize,
    /// How many elements of the input apart they are.
    pub step: i64,
    /// How far each goes in each of [`Reading::bounds`].
    pub bounds: [i64; MAX_RANK],
}

/// A range that a place has to be in to be inside the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bound {
    /// Where the first element of the output, and of the window, is.
    pub start: i64,
    /// It is inside from 0 on, and below this.
    pub size: i64,
}

/// The elements of an input that a window reads, with as few dimensions and bounds as there can be.
///
/// For steps `i` along [`Reading::dims`] and `k` along [`Reading::taps`] the element is
/// `first + Σ i · step + Σ k · step`, where each bound, `start` and the same sum of its own steps, is
/// from 0 to its size; else it is beyond the input. An element that is within all bounds is one of the
/// input's.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    dims: Few<Walk>,
    taps: Few<Walk>,
    bounds: Few<Bound>,
    /// The element of the input for the first of the output's, and of the window's.
    pub first: i64,
}

impl Reading {
    /// The output's dimensions, the outermost first; one at least.
    pub fn dims(&self) -> &[Walk] {
        self.dims.as_slice()
    }

    /// The window's dimensions, the outermost first. Those of one element are left out.
    pub fn taps(&self) -> &[Walk] {
        self.taps.as_slice()
    }

    /// What has to hold for an element to be inside the input.
    pub fn bounds(&self) -> &[Bound] {
        self.bounds.as_slice()
    }

    /// The reading of a window that was checked, for an input and an output of these dimensions. Where
    /// `is_weighted`, the last dimension of the output stays as it is. None where numbers pass 62 bits,
    /// or dimensions are not as many as the window says.
    pub fn of(
        along: &[ArchivedAlong],
        taps: &[ArchivedTap],
        from: &[usize],
        to: &[usize],
        is_weighted: bool,
    ) -> Option<Self> {
        if along.len() != to.len() || from.len() > MAX_RANK {
            return None;
        }
        let mut bounds = [Bound::default(); MAX_RANK];
        let mut strides = [0_i64; MAX_RANK];
        let mut stride = 1_i64;
        for ((dim, bound), to) in from.iter().zip(&mut bounds).zip(&mut strides).rev() {
            *to = stride;
            bound.size = small(i64::try_from(*dim).ok()?)?;
            stride = small(stride.checked_mul(bound.size)?)?;
        }
        let mut first = 0_i64;
        let walk = |axis: u32, stride: i64, count: usize| {
            let mut walk = Walk { count, ..Walk::default() };
            if let Some((bound, step)) =
                walk.bounds.get_mut(axis as usize).zip(strides.get(axis as usize))
                && (axis as usize) < from.len()
            {
                *bound = stride;
                walk.step = small(stride.checked_mul(*step)?)?;
            }
            Some(walk)
        };
        let (mut dims, mut window) = (Few::default(), Few::default());
        for (it, count) in along.iter().zip(to) {
            let axis = it.axis.to_native();
            dims.push(walk(axis, it.stride.to_native(), *count)?)?;
            let place = bounds.get_mut(axis as usize).zip(strides.get(axis as usize));
            if let Some((bound, stride)) = place.filter(|_| (axis as usize) < from.len()) {
                let start = it.start.to_native();
                bound.start = small(bound.start.checked_add(start)?)?;
                first = small(first.checked_add(start.checked_mul(*stride)?)?)?;
            }
        }
        for it in taps {
            let count = it.count.to_native() as usize;
            window.push(walk(it.axis.to_native(), it.stride.to_native(), count)?)?;
        }
        let mut reading = Self { dims, taps: window, bounds: Few::default(), first };
        reading.bound(bounds.get(..from.len())?)?;
        reading.merge(is_weighted)?;
        Some(reading)
    }

    /// How far a place may be from 0, at most.
    fn reach(&self, start: i64, step: impl Fn(&Walk) -> Option<i64>) -> Option<i64> {
        let mut walks = self.dims().iter().chain(self.taps());
        walks.try_fold(start.checked_abs()?, |reach, walk| {
            let count = i64::try_from(walk.count).ok()?;
            small(reach.checked_add(small(count.checked_mul(step(walk)?)?)?.checked_abs()?)?)
        })
    }

    /// How far a place of a bound may be from 0, at most.
    pub fn reach_of(&self, bound: usize) -> Option<i64> {
        self.reach(self.bounds().get(bound)?.start, |walk| walk.bounds.get(bound).copied())
    }

    /// Keeps the bounds that some element may pass.
    fn bound(&mut self, bounds: &[Bound]) -> Option<()> {
        self.reach(self.first, |walk| Some(walk.step))?;
        let mut kept = [usize::MAX; MAX_RANK];
        for (at, bound) in bounds.iter().enumerate() {
            self.reach(bound.start, |walk| walk.bounds.get(at).copied())?;
            let (mut least, mut most) = (bound.start, bound.start);
            for walk in self.dims().iter().chain(self.taps()) {
                let last = i64::try_from(walk.count.saturating_sub(1)).ok()?;
                let far = last * walk.bounds.get(at)?;
                (least, most) = (least + far.min(0), most + far.max(0));
            }
            if least < 0 || most >= bound.size {
                *kept.get_mut(self.bounds.len)? = at;
                self.bounds.push(*bound)?;
            }
        }
        for walk in self.dims.as_mut_slice().iter_mut().chain(self.taps.as_mut_slice()) {
            let all = walk.bounds;
            walk.bounds = kept.map(|at| all.get(at).copied().unwrap_or(0));
        }
        Some(())
    }

    /// Leaves out dimensions of one element, and makes one of neighbours that are read as one.
    fn merge(&mut self, is_weighted: bool) -> Option<()> {
        let all = std::mem::take(&mut self.taps);
        for tap in all.as_slice().iter().filter(|it| it.count != 1) {
            self.taps.push(*tap)?;
        }
        let all = std::mem::take(&mut self.dims);
        let last = all.len.checked_sub(1).filter(|_| is_weighted);
        for (at, walk) in all.as_slice().iter().enumerate() {
            if walk.count != 1 || Some(at) == last {
                self.dims.push(*walk)?;
            }
        }
        let end = self.dims.len.saturating_sub(usize::from(is_weighted));
        for inner in (1..end).rev() {
            let (Some(outside), Some(inside)) =
                (self.dims().get(inner - 1).copied(), self.dims().get(inner).copied())
            else {
                continue;
            };
            if let Some(merged) = self.merged(&outside, &inside) {
                *self.dims.as_mut_slice().get_mut(inner - 1)? = merged;
                self.dims.remove(inner);
            }
        }
        if self.dims.len == 0 {
            self.dims.push(Walk { count: 1, ..Walk::default() })?;
        }
        Some(())
    }

    fn merged(&mut self, outer: &Walk, inner: &Walk) -> Option<Walk> {
        let count = i64::try_from(inner.count).ok()?;
        if Some(outer.step) != inner.step.checked_mul(count) {
            return None;
        }
        let mut merged = Walk {
            count: outer.count.checked_mul(inner.count)?,
            step: inner.step,
            bounds: [0; MAX_RANK],
        };
        let mut widened = *self;
        let pairs = outer.bounds.iter().zip(&inner.bounds).take(self.bounds.len).enumerate();
        for (at, (outside, inside)) in pairs {
            let to = merged.bounds.get_mut(at)?;
            if Some(*outside) == inside.checked_mul(count) {
                *to = *inside;
            } else if (*outside, *inside) == (1, 0) {
                // A place in it is a place in as many times the size.
                widened.widen(at, count)?;
                *to = 1;
            } else {
                return None;
            }
        }
        *self = widened;
        Some(merged)
    }

    fn widen(&mut self, at: usize, times: i64) -> Option<()> {
        let bound = self.bounds.as_mut_slice().get_mut(at)?;
        bound.size = small(bound.size.checked_mul(times)?)?;
        bound.start = small(bound.start.checked_mul(times)?)?;
        for walk in self.dims.as_mut_slice().iter_mut().chain(self.taps.as_mut_slice()) {
            let step = walk.bounds.get_mut(at)?;
            *step = small(step.checked_mul(times)?)?;
        }
        self.reach_of(at).map(|_| ())
    }
}

/// Numbers of which two can be added, and nothing overflows.
fn small(number: i64) -> Option<i64> {
    (number.unsigned_abs() < 1 << 62).then_some(number)
}

/// So many of something as a value has dimensions, without memory of their own.
#[derive(Debug, Clone, Copy, Default)]
struct Few<T> {
    items: [T; MAX_RANK],
    len: usize,
}

impl<T> Few<T> {
    fn push(&mut self, item: T) -> Option<()> {
        *self.items.get_mut(self.len)? = item;
        self.len += 1;
        Some(())
    }

    fn remove(&mut self, at: usize) {
        if let Some(rest) = self.items.get_mut(at..self.len) {
            rest.rotate_left(1);
            self.len -= 1;
        }
    }

    fn as_slice(&self) -> &[T] {
        self.items.get(..self.len).unwrap_or_default()
    }

    fn as_mut_slice(&mut self) -> &mut [T] {
        self.items.get_mut(..self.len).unwrap_or_default()
    }
}
