//! Which words of a piece of memory are free.

use std::ops::Range;

/// Free ranges of words, in their order, none next to another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges {
    free: Vec<Range<u64>>,
}

impl Ranges {
    /// Adds words that were taken, or that are new.
    pub(crate) fn give_back(&mut self, range: Range<u64>) {
        let at = self.free.partition_point(|it| it.start < range.start);
        self.free.insert(at, range);
        self.free.dedup_by(|next, before| {
            let joins = before.end == next.start;
            if joins {
                before.end = next.end;
            }
            joins
        });
    }

    /// The first free words of which there are so many.
    pub(crate) fn take(&mut self, words: u64) -> Option<Range<u64>> {
        let at = self.free.iter().position(|it| it.end - it.start >= words)?;
        let from = self.free.get_mut(at)?;
        let taken = from.start..from.start + words;
        from.start = taken.end;
        if from.is_empty() {
            self.free.remove(at);
        }
        Some(taken)
    }

    /// How many words are free behind the last that is taken, of `all`.
    pub(crate) fn at_end(&self, all: u64) -> u64 {
        self.free.last().filter(|it| it.end == all).map_or(0, |it| it.end - it.start)
    }

    /// Whether nothing of `all` words is taken.
    pub(crate) fn are_all(&self, all: u64) -> bool {
        self.at_end(all) == all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_apart_comes_together_again() {
        let mut ranges = Ranges::default();
        ranges.give_back(0..100);
        let taken: Vec<_> = (0..4).map(|_| ranges.take(25).unwrap()).collect();
        assert_eq!(ranges.take(1), None);
        for at in [1, 3, 0, 2] {
            ranges.give_back(taken[at].clone());
        }
        assert!(ranges.are_all(100));
        assert_eq!(ranges.take(100), Some(0..100));
    }

    #[test]
    fn words_at_the_end_are_those_behind_the_last_taken() {
        let mut ranges = Ranges::default();
        ranges.give_back(0..10);
        ranges.take(4).unwrap();
        assert_eq!(ranges.at_end(10), 6);
        assert_eq!(ranges.at_end(20), 0);
    }
}
