//! Whether requests are joined, and what is remembered of it.

use std::{
    num::NonZeroUsize,
    sync::{LazyLock, Mutex, PoisonError},
};

use lru::LruCache;
use tenancy::Digest;

/// Of so many files, those that were asked for last, it is known whether they join.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1 << 14).unwrap();

/// Whether rows of several requests are answered together as each would be alone. No shape says so:
/// a graph may mix the rows of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joins {
    /// It was not seen yet.
    Unknown,
    /// They were, on requests of its tenants.
    Alike,
    /// They are not, or the signature does not have the rows.
    Never,
}

/// What was seen of files whose models are of a family. One that was evicted and comes back is not
/// compared again: where more of a family are in use than fit, nearly every request finds its model
/// loaded anew.
static SEEN: LazyLock<Mutex<LruCache<Digest, Joins>>> =
    LazyLock::new(|| Mutex::new(LruCache::new(REMEMBERED)));

/// What was seen of the model of a file; unknown where nothing was.
pub(crate) fn seen(file: &Digest) -> Joins {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.get(file).copied().unwrap_or(Joins::Unknown)
}

/// Remembers it. That it never joins is final.
pub(crate) fn remember(file: &Digest, joins: Joins) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.get(file) != Some(&Joins::Never) {
        seen.put(*file, joins);
    }
}
