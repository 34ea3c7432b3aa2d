//! Which day a moment is on, in the proleptic Gregorian calendar, in UTC.

use super::NANOSECONDS;

const SECONDS_A_DAY: i128 = 86_400;
/// From 0001-01-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_162;
const DAYS_IN_400_YEARS: i64 = 146_097;
const DAYS_IN_100_YEARS: i64 = 36_524;
const DAYS_IN_4_YEARS: i64 = 1_461;
/// 1970-01-01 was a Thursday; Sunday is 0.
const WEEKDAY_OF_1970: i64 = 4;

/// A moment, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
    /// From 0, for the first of January.
    pub(crate) day_of_year: i64,
    /// From 0, for Sunday.
    pub(crate) weekday: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) nanosecond: i64,
}

impl Calendar {
    /// The moment `nanoseconds` since 1970-01-01T00:00:00Z.
    pub(crate) fn of(nanoseconds: i128) -> Self {
        let seconds = nanoseconds.div_euclid(i128::from(NANOSECONDS));
        let days = seconds.div_euclid(SECONDS_A_DAY) as i64;
        let in_day = seconds.rem_euclid(SECONDS_A_DAY) as i64;
        let (year, day_of_year) = year_of(days + DAYS_BEFORE_1970);
        let (month, day) = month_of(year, day_of_year);
        Self {
            year,
            month,
            day,
            day_of_year,
            weekday: (days + WEEKDAY_OF_1970).rem_euclid(7),
            hour: in_day / 3600,
            minute: in_day / 60 % 60,
            second: in_day % 60,
            nanosecond: nanoseconds.rem_euclid(i128::from(NANOSECONDS)) as i64,
        }
    }
}

/// The days from 1970-01-01 to a date, where there is such a date in the years 1 to 9999.
pub(super) fn days_to(year: i64, month: i64, day: i64) -> Option<i64> {
    let lengths = month_lengths(year);
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if !(1..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let whole = year - 1;
    let before_year = whole * 365 + whole / 4 - whole / 100 + whole / 400;
    let before_month: i64 = lengths.iter().take(month as usize - 1).sum();
    Some(before_year + before_month + day - 1 - DAYS_BEFORE_1970)
}

/// The year, and the days since its first, of `days` since 0001-01-01.
fn year_of(days: i64) -> (i64, i64) {
    let cycles = days.div_euclid(DAYS_IN_400_YEARS);
    let rest = days.rem_euclid(DAYS_IN_400_YEARS);
    // The last day of a 400-year cycle, and of a 4-year one, would begin a century, or a year, too many.
    let centuries = (rest / DAYS_IN_100_YEARS).min(3);
    let rest = rest - centuries * DAYS_IN_100_YEARS;
    let fours = rest / DAYS_IN_4_YEARS;
    let rest = rest - fours * DAYS_IN_4_YEARS;
    let years = (rest / 365).min(3);
    (cycles * 400 + centuries * 100 + fours * 4 + years + 1, rest - years * 365)
}

/// The month and the day in it, both from 1.
fn month_of(year: i64, day_of_year: i64) -> (i64, i64) {
    let mut rest = day_of_year;
    for (month, length) in (1..).zip(month_lengths(year)) {
        if rest < length {
            return (month, rest + 1);
        }
        rest -= length;
    }
    (12, 31)
}

fn month_lengths(year: i64) -> [i64; 12] {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_calendar_is_its_own_and_follows_the_one_before() {
        let mut expected = days_to(1, 1, 1).expect("the first day");
        for year in 1..=9999 {
            for (month, length) in (1..).zip(month_lengths(year)) {
                for day in 1..=length {
                    assert_eq!(days_to(year, month, day), Some(expected));
                    let moment = i128::from(expected) * 86_400 * i128::from(NANOSECONDS);
                    let found = Calendar::of(moment);
                    assert_eq!((found.year, found.month, found.day), (year, month, day));
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn the_day_of_the_week_of_known_dates_is_right() {
        let weekday = |year, month, day| {
            let days = days_to(year, month, day).expect("a date");
            Calendar::of(i128::from(days) * 86_400 * i128::from(NANOSECONDS)).weekday
        };
        assert_eq!(weekday(1970, 1, 1), 4);
        assert_eq!(weekday(2000, 2, 29), 2);
        assert_eq!(weekday(2026, 11, 21), 6);
        assert_eq!(weekday(1, 1, 1), 1);
    }

    #[test]
    fn there_is_no_such_date() {
        for (year, month, day) in
            [(0, 1, 1), (10_000, 1, 1), (2023, 2, 29), (1900, 2, 29), (2023, 13, 1), (2023, 0, 1)]
        {
            assert_eq!(days_to(year, month, day), None, "{year}-{month}-{day}");
        }
    }
}
