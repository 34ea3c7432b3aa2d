//! Values as text.

use std::fmt::{Result, Write};

use crate::time::{format_duration, format_timestamp};
use crate::{Kind, List, Map, Value};

/// How deeply lists and maps are written out.
const MAX_DEPTH: usize = 8;

/// Writes `value` for people: text as it is, and inside lists and maps in quotes.
pub(crate) fn write_value(out: &mut dyn Write, value: &Value<'_>) -> Result {
    match value {
        Value::String(text) => out.write_str(text),
        other => write_nested(out, other, 0),
    }
}

fn write_nested(out: &mut dyn Write, value: &Value<'_>, depth: usize) -> Result {
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::Uint(value) => write!(out, "{value}"),
        Value::Double(value) => out.write_str(&format_double(*value)),
        Value::String(text) => write!(out, "{text:?}"),
        Value::Bytes(bytes) => write!(out, "b\"{}\"", bytes.escape_ascii()),
        Value::Timestamp(nanoseconds) => match crate::time::timestamp(*nanoseconds) {
            Some(valid) => out.write_str(&format_timestamp(valid)),
            None => write!(out, "{}", Kind::Timestamp),
        },
        Value::Duration(nanoseconds) => out.write_str(&format_duration(*nanoseconds)),
        Value::Type(kind) => out.write_str(kind.name()),
        Value::List(_) | Value::Map(_) if depth == MAX_DEPTH => out.write_str("…"),
        Value::List(list) => write_list(out, list, depth),
        Value::Map(map) => write_map(out, map, depth),
    }
}

fn write_list(out: &mut dyn Write, list: &List<'_>, depth: usize) -> Result {
    out.write_char('[')?;
    for (at, element) in (0..list.len()).map_while(|at| Some((at, list.get(at)?))) {
        out.write_str(if at == 0 { "" } else { ", " })?;
        write_nested(out, &element, depth + 1)?;
    }
    out.write_char(']')
}

fn write_map(out: &mut dyn Write, map: &Map<'_>, depth: usize) -> Result {
    let mut first = true;
    let mut entry = |key: &Value<'_>, value: &Value<'_>| {
        out.write_str(if std::mem::take(&mut first) { "{" } else { ", " })?;
        write_nested(out, key, depth + 1)?;
        out.write_str(": ")?;
        write_nested(out, value, depth + 1)
    };
    match map {
        Map::Lent(owner) => {
            for (key, value) in owner.keys().filter_map(|key| Some((key, owner.get(key)?))) {
                entry(&Value::from(key), &value)?;
            }
        }
        Map::Made(entries) => {
            for (key, value) in entries.iter() {
                entry(key, value)?;
            }
        }
    }
    out.write_str(if first { "{}" } else { "}" })
}

/// A double as CEL's `string()` has it: the shortest digits that read back as the same number, with
/// an exponent where it is below -4 or above 20, as Go's `%v` chooses.
pub(crate) fn format_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if value != 0.0 && !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_go_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, expected) in cases {
            assert_eq!(format_double(value), expected);
        }
    }
}
