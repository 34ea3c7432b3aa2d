//! Spans of UTC time that usage is summed over. No local time zone is ever involved.

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// A span of time, from `start` up to and without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Period {
    /// The first instant in it.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

/// How long a usage record is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// A UTC hour.
    Hour,
    /// A UTC day.
    Day,
    /// A UTC month.
    #[default]
    Month,
}

/// A text that is no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a UTC month, day or hour such as `2026-11`, `2026-11-21` or `2026-11-21T05`, found `{found}`"
)]
pub struct PeriodError {
    /// The text, shortened.
    pub found: String,
}

/// Reads `2026-11` (a month), `2026-11-21` (a day) or `2026-11-21T05` (an hour), all UTC.
///
/// # Errors
/// [`PeriodError`] for anything else, and for what is no date of the calendar.
pub fn parse_period(text: &str) -> Result<Period, PeriodError> {
    period(text).ok_or_else(|| PeriodError { found: text.chars().take(40).collect() })
}

fn period(text: &str) -> Option<Period> {
    let (date, hour) = match text.split_once('T') {
        Some((date, hour)) => (date, Some(number(hour, 2)?)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4)?;
    let month = i8::try_from(number(parts.next()?, 2)?).ok()?;
    let day = parts.next().map(|day| number(day, 2)).map_or(Some(None), |day| day.map(Some))?;
    if parts.next().is_some() {
        return None;
    }
    let first = Date::new(year, month, i8::try_from(day.unwrap_or(1)).ok()?).ok()?;
    let start = first.at(i8::try_from(hour.unwrap_or(0)).ok().filter(|hour| *hour < 24)?, 0, 0, 0);
    let length = match (day, hour) {
        (None, None) => 1.month(),
        (Some(_), None) => 1.day(),
        (Some(_), Some(_)) => 1.hour(),
        (None, Some(_)) => return None,
    };
    let end = start.checked_add(length).ok()?;
    let utc = |time: jiff::civil::DateTime| Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp());
    Some(Period { start: utc(start)?, end: utc(end)? })
}

/// A number of exactly this many digits.
fn number(text: &str, digits: usize) -> Option<i16> {
    let sound = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| text.parse().ok()).flatten()
}

impl Granularity {
    /// The start of the period of this length that `at` lies in.
    pub(crate) fn start_of(self, at: Timestamp) -> Timestamp {
        let time = at.to_zoned(TimeZone::UTC).datetime();
        let start = match self {
            Self::Hour => time.date().at(time.hour(), 0, 0, 0),
            Self::Day => time.date().at(0, 0, 0, 0),
            Self::Month => time.date().first_of_month().at(0, 0, 0, 0),
        };
        start.to_zoned(TimeZone::UTC).map_or(at, |zoned| zoned.timestamp())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(text: &str) -> String {
        let period = parse_period(text).unwrap();
        format!("{} {}", period.start, period.end)
    }

    #[test]
    fn months_days_and_hours_are_utc() {
        assert_eq!(span("2026-11"), "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z");
        assert_eq!(span("2026-12-31"), "2026-12-31T00:00:00Z 2027-01-01T00:00:00Z");
        assert_eq!(span("2028-02-29T23"), "2028-02-29T23:00:00Z 2028-03-01T00:00:00Z");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-02-29",
            "2026-11-21T24",
            "2026-11T05",
            "2026-1-1",
            "+026-11",
            "2026-11-21T05:00",
            "2026-11-21-01",
        ] {
            assert!(parse_period(text).is_err(), "{text} was accepted");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = parse_period(&text);
        }

        #[test]
        fn an_instant_lies_in_its_period(seconds in 0_i64..4_000_000_000) {
            let at = Timestamp::from_second(seconds).unwrap();
            for granularity in [Granularity::Hour, Granularity::Day, Granularity::Month] {
                let start = granularity.start_of(at);
                prop_assert!(start <= at);
                prop_assert_eq!(granularity.start_of(start), start);
            }
        }
    }
}
