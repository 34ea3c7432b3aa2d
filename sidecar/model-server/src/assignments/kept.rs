//! Artifacts that were replaced, and that a node keeps for a while so that going back takes no load.

use std::collections::HashMap;

use tenancy::Digest;
use tokio::time::Instant;

/// Replaced artifacts, and until when each is kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    until: HashMap<Digest, Instant>,
}

impl Kept {
    /// Keeps more until `until`.
    pub(super) fn keep(&mut self, digests: impl IntoIterator<Item = Digest>, until: Instant) {
        self.until.extend(digests.into_iter().map(|digest| (digest, until)));
    }

    /// Those that are kept at `now`.
    pub(super) fn at(&mut self, now: Instant) -> impl Iterator<Item = Digest> {
        self.until.retain(|_, until| now < *until);
        self.until.keys().copied()
    }

    /// When the first of them is no longer kept.
    pub(super) fn next_end(&mut self, now: Instant) -> Option<Instant> {
        self.until.retain(|_, until| now < *until);
        self.until.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_replaced_is_kept_for_the_declared_time() {
        let (now, mut kept) = (Instant::now(), Kept::default());
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let later = |seconds| now + Duration::from_secs(seconds);
        kept.keep([one], later(10));
        kept.keep([other], later(20));
        assert_eq!(kept.at(later(9)).count(), 2);
        assert_eq!(kept.next_end(later(9)), Some(later(10)));
        assert_eq!(kept.at(later(10)).collect::<Vec<_>>(), [other]);
        assert_eq!((kept.at(later(20)).count(), kept.next_end(later(20))), (0, None));
    }
}
