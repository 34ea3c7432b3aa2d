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
        let Some(classes) = self.by_kind.peek(kind) else { return false };
        // What was measured of no more rows is the least that these take, and of no less the most.
        let no_more = rows.max(1).ilog2() as usize;
        let least = classes.iter().take(no_more + 1).rev().find_map(|cost| *cost);
        let most = classes.iter().skip(class(with)).find_map(|cost| *cost);
        matches!((least, most), (Some(least), Some(most)) if most <= least + least / HARDLY)
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
    fn a_row_more_is_hardly_longer_only_where_that_was_measured() {
        let mut costs = Costs::new();
        assert!(!costs.are_alike(&"m", 1, 2));
        for (rows, took) in [(1, 10), (2, 20), (4, 40), (8, 41)] {
            costs.measured(&"m", rows, took * MS);
        }
        let alike = |rows, with| costs.are_alike(&"m", rows, with);
        // Three and four rows are of one class, of which nobody knows what three take.
        assert!(!alike(1, 2) && !alike(2, 3) && !alike(3, 4));
        assert!(alike(4, 5) && alike(4, 8) && alike(7, 8));
        assert!(!alike(4, 9));
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
