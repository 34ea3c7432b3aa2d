//! How long executions take, as measured.

use std::{fmt, hash::Hash, num::NonZeroUsize, time::Duration};

use lru::LruCache;

/// Batches of up to `2^n` rows are one class, up to more rows than any batch has.
const CLASSES: usize = 24;

/// The part of a new measurement in the estimate: an eighth, so that one slow run moves it little
/// and eight in a row move it most of the way.
const SMOOTHING: u32 = 8;

/// The kinds of execution that are remembered.
const MOST_REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// Hardly longer is longer by less than an eighth.
const HARDLY: u32 = 8;

/// Charged for what was never measured, until it is.
const UNKNOWN: Duration = Duration::from_millis(1);

/// Estimates by kind and size, as Clockwork keeps them (Gujarati et al., OSDI 2020): inference is
/// predictable, so what a batch took says what the next of its size takes.
pub(super) struct Costs<K> {
    by_kind: LruCache<K, [Option<Duration>; CLASSES]>,
}

impl<K> fmt::Debug for Costs<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Costs(..)")
    }
}

impl<K: Eq + Hash + Clone> Costs<K> {
    pub(super) fn new() -> Self {
        Self { by_kind: LruCache::new(MOST_REMEMBERED) }
    }

    /// Takes a measurement into the estimate.
    pub(super) fn measured(&mut self, kind: &K, rows: u64, took: Duration) {
        let classes = self.by_kind.get_or_insert_mut(kind.clone(), || [None; CLASSES]);
        if let Some(class) = classes.get_mut(class(rows)) {
            *class = Some(
                class.map_or(took, |known| known / SMOOTHING * (SMOOTHING - 1) + took / SMOOTHING),
            );
        }
    }

    /// Whether an execution of `with` rows is known to take hardly longer than one of `rows`: a model
    /// that is limited by reading its weights answers a few rows in the time of one.
    pub(super) fn are_alike(&self, kind: &K, rows: u64, with: u64) -> bool {
        let classes = self.by_kind.peek(kind).into_iter().flatten();
        // Of what was not measured, the next larger is the most that it takes.
        let measured = |rows| classes.clone().skip(class(rows)).find_map(|cost| *cost);
        let pair = (measured(rows), measured(with));
        matches!(pair, (Some(rows), Some(with)) if with <= rows + rows / HARDLY)
    }

    /// What an execution is charged before it is measured.
    pub(super) fn charge(&self, kind: &K, rows: u64) -> Duration {
        self.known(kind, rows).unwrap_or(UNKNOWN)
    }

    /// What an execution is known to take: as one of its size, or else as a part of the next larger
    /// or a multiple of the next smaller.
    pub(super) fn known(&self, kind: &K, rows: u64) -> Option<Duration> {
        let classes = self.by_kind.peek(kind)?;
        let at = class(rows);
        if let Some(Some(exact)) = classes.get(at) {
            return Some(*exact);
        }
        let smaller = classes.iter().enumerate().take(at).rev().find_map(of_class);
        let larger = || classes.iter().enumerate().skip(at).find_map(of_class);
        let (class, cost) = smaller.or_else(larger)?;
        let (ours, theirs) = (1_u32.checked_shl(at as u32)?, 1_u32.checked_shl(class as u32)?);
        Some(if ours >= theirs { cost * (ours / theirs) } else { cost })
    }
}

fn of_class((class, cost): (usize, &Option<Duration>)) -> Option<(usize, Duration)> {
    cost.map(|cost| (class, cost))
}

fn class(rows: u64) -> usize {
    let rows = rows.max(1).checked_next_power_of_two().unwrap_or(u64::MAX);
    (rows.trailing_zeros() as usize).min(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_was_measured_says_what_comes() {
        let mut costs = Costs::new();
        assert_eq!((costs.known(&"m", 1), costs.charge(&"m", 1)), (None, UNKNOWN));
        costs.measured(&"m", 1, 8 * MS);
        assert_eq!(costs.known(&"m", 1), Some(8 * MS));
        costs.measured(&"m", 1, 16 * MS);
        assert_eq!(costs.known(&"m", 1), Some(9 * MS));
        assert_eq!(costs.known(&"other", 1), None);
    }

    #[test]
    fn other_sizes_are_guessed_from_the_nearest() {
        let mut costs = Costs::new();
        costs.measured(&"m", 4, 3 * MS);
        assert_eq!(costs.known(&"m", 3), Some(3 * MS));
        assert_eq!(costs.known(&"m", 16), Some(12 * MS));
        assert_eq!(costs.known(&"m", 1), Some(3 * MS));
        costs.measured(&"m", 1, MS);
        assert_eq!(costs.known(&"m", 2), Some(2 * MS));
        costs.measured(&"m", u64::MAX, MS);
        assert_eq!(costs.known(&"m", u64::MAX), Some(MS));
    }
}
