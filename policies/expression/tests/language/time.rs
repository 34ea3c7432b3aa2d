//! Timestamps, durations, and the calendar.

use crate::support::{give, hold};

#[test]
fn a_token_can_be_too_old() {
    hold(&[
        "now - timestamp(claims.iat) <= duration('1h')",
        "now - timestamp(claims.iat) > duration('13m35s')",
        "timestamp(claims.day) < now",
    ]);
}

#[test]
fn times_and_durations_add_and_subtract() {
    hold(&[
        "timestamp(0) + duration('1m') == timestamp(60)",
        "duration('1m') + timestamp(0) == timestamp(60)",
        "timestamp(60) - duration('1m') == timestamp(0)",
        "timestamp(60) - timestamp(0) == duration('60s')",
        "duration('1h') - duration('30m') == duration('30m')",
        "duration('1h') + duration('30m') == duration('1.5h')",
        "timestamp('2026-01-01T00:00:00+01:00') == timestamp('2025-12-31T23:00:00Z')",
    ]);
    give(&[
        (
            "timestamp(253402300799) + duration('1s')",
            "error: expected a result of `+` that fits its type, found an overflow",
        ),
        (
            "timestamp(253402300800)",
            "error: expected a result of timestamp() that fits its type, found an overflow",
        ),
        (
            "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')",
            "error: expected a result of `-` that fits its type, found an overflow",
        ),
        (
            "timestamp(claims.sub)",
            "error: expected a time such as 2026-01-31T08:30:00Z, found `ann`",
        ),
        (
            "timestamp(claims.score)",
            "error: expected an int of Unix seconds or a string for timestamp(), found a double",
        ),
        ("duration(claims.sub)", "error: expected a duration such as 1h30m, found `ann`"),
        ("duration(claims.iat)", "error: expected a string for duration(), found an int"),
    ]);
}

#[test]
fn the_calendar_is_in_utc_unless_told() {
    hold(&[
        "now.getFullYear() == 2026 && now.getMonth() == 10 && now.getDate() == 21",
        "now.getDayOfMonth() == 20 && now.getDayOfWeek() == 6 && now.getDayOfYear() == 324",
        "now.getHours() == 8 && now.getMinutes() == 30 && now.getSeconds() == 15",
        "now.getMilliseconds() == 250",
        "now.getHours('UTC') == 8 && now.getHours('+05:45') == 14 && now.getMinutes('+05:45') == 15",
        "now.getDayOfWeek('-09:00') == 5 && now.getDate('+23:00') == 22",
        "timestamp('9999-12-31T23:00:00Z').getFullYear('+02:00') == 10000",
    ]);
}

#[test]
fn a_maintenance_window_is_an_expression() {
    hold(&[
        "now.getDayOfWeek() in [0, 6] && now.getHours() >= 8 && now.getHours() < 10",
        "!(now.getDayOfWeek() == 0 && now.getHours() < 4)",
    ]);
}

#[test]
fn durations_are_taken_apart() {
    hold(&[
        "duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90",
        "duration('3730s').getSeconds() == 3730 && duration('1.234s').getMilliseconds() == 234",
    ]);
    give(&[(
        "dyn(duration('1h')).getDate()",
        "error: expected a timestamp for getDate(), found a duration",
    )]);
}
