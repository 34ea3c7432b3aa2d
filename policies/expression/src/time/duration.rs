//! Durations as text: what Go's `time.ParseDuration` reads, as cel-spec's `duration()` says.

use super::NANOSECONDS;

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOSECONDS),
    ("m", 60 * NANOSECONDS),
    ("h", 3600 * NANOSECONDS),
];

/// The nanoseconds that `text` says, such as `1h30m`, `-1.5s` or `0`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: i128 = 0;
    while !rest.is_empty() {
        let (amount, after) = term(rest)?;
        sum = sum.checked_add(amount)?;
        rest = after;
    }
    i64::try_from(if negative { -sum } else { sum }).ok()
}

/// The first number with its unit, in nanoseconds, and what follows. Parts of a nanosecond are cut.
fn term(text: &str) -> Option<(i128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let letters = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let whole: i128 = if whole.is_empty() { 0 } else { i128::from(whole.parse::<u64>().ok()?) };
    let (mut parts, mut scale): (i128, i128) = (0, 1);
    // Beyond 14 digits a digit is less than a nanosecond, even of an hour.
    for digit in fraction.bytes().take(14) {
        parts = parts * 10 + i128::from(digit - b'0');
        scale *= 10;
    }
    let unit = i128::from(*unit);
    Some((whole * unit + parts * unit / scale, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The duration in seconds, with as many digits of one as it needs: `5400s`, `-1.5s`.
pub(crate) fn format_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let magnitude = nanoseconds.unsigned_abs();
    let (whole, fraction) = (magnitude / NANOSECONDS as u64, magnitude % NANOSECONDS as u64);
    if fraction == 0 {
        return format!("{sign}{whole}s");
    }
    let digits = format!("{fraction:09}");
    format!("{sign}{whole}.{}s", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1h", Some(3_600_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("-1.5s", Some(-1_500_000_000)),
            ("+.5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("3ms2us1ns", Some(3_002_001)),
            ("7µs", Some(7_000)),
            ("1.9ns", Some(1)),
            ("2562047h47m16.854775807s", Some(i64::MAX)),
            ("2562047h47m16.854775808s", None),
            ("-2562047h47m16.854775808s", Some(i64::MIN)),
            ("99999999999999999999h", None),
            ("", None),
            ("-", None),
            ("1", None),
            ("s", None),
            (".s", None),
            ("1 h", None),
            ("1d", None),
            ("1h-5m", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(nanoseconds: i64) {
            prop_assert_eq!(parse_duration(&format_duration(nanoseconds)), Some(nanoseconds));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*|[0-9hmsnuµ.+-]{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
