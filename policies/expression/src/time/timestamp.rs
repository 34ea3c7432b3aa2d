//! Timestamps as text: RFC 3339.

use std::fmt::Write;

use super::{Calendar, NANOSECONDS, calendar::days_to, timestamp};

/// The moment that `text` names, such as `2026-11-21T08:30:00.5+01:00`. At most nine digits of a
/// second, and no leap second: neither can be held.
pub(crate) fn parse_timestamp(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    let (date, rest) = bytes.split_first_chunk::<10>()?;
    let (time, rest) = rest.split_first_chunk::<9>()?;
    if (date[4], date[7], time[0], time[3], time[6]) != (b'-', b'-', b'T', b':', b':') {
        return None;
    }
    let days = days_to(number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?)?;
    let (hour, minute, second) = (number(&time[1..3])?, number(&time[4..6])?, number(&time[7..9])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (fraction(&rest[..digits])?, &rest[digits..])
        }
        None => (0, rest),
    };
    let offset = match zone {
        b"Z" => 0,
        _ => parse_offset(std::str::from_utf8(zone).ok()?)?,
    };
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    timestamp(i128::from(seconds) * i128::from(NANOSECONDS) + i128::from(fraction))
}

/// The seconds east of UTC that `+01:00` or `-05:30` says.
pub(crate) fn parse_offset(text: &str) -> Option<i64> {
    let [sign, hours @ .., b':', tens, ones] = text.as_bytes() else { return None };
    let (hours, minutes) = (number(hours)?, number(&[*tens, *ones])?);
    if text.len() != 6 || hours > 23 || minutes > 59 {
        return None;
    }
    let offset = hours * 3600 + minutes * 60;
    match sign {
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

/// The moment as text in UTC, with as many digits of a second as it needs.
pub(crate) fn format_timestamp(nanoseconds: i128) -> String {
    let Calendar { year, month, day, hour, minute, second, nanosecond, .. } =
        Calendar::of(nanoseconds);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanosecond != 0 {
        let digits = format!("{nanosecond:09}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

fn number(digits: &[u8]) -> Option<i64> {
    let whole = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    whole.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn fraction(digits: &[u8]) -> Option<i64> {
    let missing = 9_u32.checked_sub(u32::try_from(digits.len()).ok()?)?;
    Some(number(digits)? * 10_i64.pow(missing))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_read_as_rfc_3339_says() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:01.5Z", Some(1_500_000_000)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1969-12-31T18:30:00-05:30", Some(0)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800_000_000_000)),
            ("9999-12-31T23:59:59.999999999Z", Some(253_402_300_799_999_999_999)),
            ("0001-01-01T00:00:00+00:01", None),
            ("9999-12-31T23:59:59-00:01", None),
            ("2023-02-29T00:00:00Z", None),
            ("2023-01-01T24:00:00Z", None),
            ("2023-01-01T00:00:60Z", None),
            ("2023-01-01t00:00:00Z", None),
            ("2023-01-01T00:00:00", None),
            ("2023-01-01T00:00:00.Z", None),
            ("2023-01-01T00:00:00.1234567890Z", None),
            ("2023-01-01T00:00:00+1:00", None),
            ("2023-01-01T00:00:00Zz", None),
            ("+023-01-01T00:00:00Z", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_timestamp(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in -62_135_596_800_i64..253_402_300_800, fraction in 0..NANOSECONDS) {
            let moment = i128::from(seconds) * i128::from(NANOSECONDS) + i128::from(fraction);
            prop_assert_eq!(parse_timestamp(&format_timestamp(moment)), Some(moment));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*|[0-9TZ:.+-]{0,40}") {
            let _ = parse_timestamp(&text);
            let _ = parse_offset(&text);
        }
    }
}
