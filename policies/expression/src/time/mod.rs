//! Timestamps and durations: their ranges, their text, and the calendar.
//!
//! A timestamp is nanoseconds since 1970-01-01T00:00:00Z; a duration is nanoseconds.

mod calendar;
mod duration;
mod timestamp;

pub(crate) use calendar::Calendar;
pub(crate) use duration::{format_duration, parse_duration};
#[cfg(feature = "compile")]
pub(crate) use timestamp::parse_offset;
pub(crate) use timestamp::{format_timestamp, parse_timestamp};

pub(crate) const NANOSECONDS: i64 = 1_000_000_000;

/// 0001-01-01T00:00:00Z, in seconds.
const FIRST_SECOND: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, in seconds.
const LAST_SECOND: i64 = 253_402_300_799;

/// `nanoseconds`, where they are of the years 1 to 9999, which is all that CEL's timestamps span.
pub(crate) fn timestamp(nanoseconds: i128) -> Option<i128> {
    let seconds = nanoseconds.div_euclid(i128::from(NANOSECONDS));
    let valid = (i128::from(FIRST_SECOND)..=i128::from(LAST_SECOND)).contains(&seconds);
    valid.then_some(nanoseconds)
}
