//! The time of day, read in one place.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since 1970-01-01T00:00:00Z. A clock before that counts as it.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(crate) fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

pub(crate) fn unix_micros() -> u64 {
    u64::try_from(since_epoch().as_micros()).unwrap_or(u64::MAX)
}
