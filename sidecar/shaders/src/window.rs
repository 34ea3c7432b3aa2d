//! Which words of the slab a dispatch binds.

use std::ops::Range;

use crate::{Limits, Run, Unsupported};

/// Bindings start and end at multiples of so many words.
const GRAIN: u64 = 64;

/// Words of the slab that are bound together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    start: u64,
    end: u64,
}

impl Window {
    /// For a dispatch that reads no weights.
    pub(crate) const NONE: Self = Self { start: 0, end: 0 };

    /// One that holds each of these ranges: the whole slab where it can be bound. None where they
    /// lie too far apart.
    pub(crate) fn over(
        run: &Run<'_>,
        limits: &Limits,
        ranges: impl IntoIterator<Item = Range<u64>>,
    ) -> Option<Self> {
        let hull = ranges
            .into_iter()
            .filter(|it| !it.is_empty())
            .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
        let Some(hull) = hull else { return Some(Self::NONE) };
        // More than is addressed by 32 bits is not bound at once, whatever a device allows.
        let most = (limits.binding_bytes / 4).min(u64::from(u32::MAX)) / GRAIN * GRAIN;
        if run.slab_words <= most {
            return Some(Self { start: 0, end: run.slab_words });
        }
        let (start, end) = (hull.start / GRAIN * GRAIN, hull.end.next_multiple_of(GRAIN));
        (end - start <= most && end <= run.slab_words).then_some(Self { start, end })
    }

    /// As [`Window::over`], where nothing can be split.
    pub(crate) fn over_all(
        run: &Run<'_>,
        limits: &Limits,
        ranges: impl IntoIterator<Item = Range<u64>>,
    ) -> Result<Self, Unsupported> {
        let apart = Unsupported::new("its weights lie further apart than a binding reaches");
        Self::over(run, limits, ranges).ok_or(apart)
    }

    /// A word of the slab, as one of the window.
    pub(crate) fn word(&self, word: u64) -> Result<u32, Unsupported> {
        let inside = word.checked_sub(self.start).filter(|_| word <= self.end);
        let inside = inside.and_then(|it| u32::try_from(it).ok());
        inside.ok_or(Unsupported::new("a weight outside of what is bound"))
    }

    pub(crate) const fn range(&self) -> Range<u64> {
        self.start..self.end
    }
}
