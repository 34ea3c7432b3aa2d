//! Conversions between types.

use std::borrow::Cow;

use super::collection::readable;
use super::{Evaluated, Evaluator, wrong_type};
use crate::program::Function;
use crate::time::{
    NANOSECONDS, format_duration, format_timestamp, parse_duration, parse_timestamp, timestamp,
};
use crate::{EvaluationError, Value};

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

impl<'a> Evaluator<'a, '_> {
    pub(super) fn scalar_of(
        &mut self,
        function: Function,
        value: &Value<'a>,
    ) -> Evaluated<Value<'a>> {
        if let Value::String(text) = value {
            self.budget.charge(text.len() as u64)?;
        }
        match function {
            Function::ToBool => to_bool(value).map(Value::Bool),
            Function::ToInt => to_int(value).map(Value::Int),
            Function::ToUint => to_uint(value).map(Value::Uint),
            _ => to_double(value).map(Value::Double),
        }
    }

    pub(super) fn text_of(&mut self, value: Value<'a>) -> Evaluated<Value<'a>> {
        let text = match value {
            Value::String(text) => return Ok(Value::String(text)),
            Value::Bytes(bytes) => {
                self.budget.charge(bytes.len() as u64)?;
                return utf8(bytes).map(Value::String);
            }
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Uint(value) => value.to_string(),
            Value::Double(value) => crate::format::format_double(value),
            Value::Timestamp(moment) => format_timestamp(
                timestamp(moment).ok_or(EvaluationError::Overflow { operation: "string()" })?,
            ),
            Value::Duration(length) => format_duration(length),
            other => {
                let expected = "a bool, number, string, bytes, timestamp or duration";
                return Err(wrong_type("string()", expected, &other));
            }
        };
        Ok(Value::String(Cow::Owned(text)))
    }

    pub(super) fn bytes_of(&mut self, value: Value<'a>) -> Evaluated<Value<'a>> {
        match value {
            Value::Bytes(bytes) => Ok(Value::Bytes(bytes)),
            Value::String(Cow::Borrowed(text)) => Ok(Value::Bytes(Cow::Borrowed(text.as_bytes()))),
            Value::String(Cow::Owned(text)) => Ok(Value::Bytes(Cow::Owned(text.into_bytes()))),
            other => Err(wrong_type("bytes()", "a string or bytes", &other)),
        }
    }

    pub(super) fn time_of(
        &mut self,
        function: Function,
        value: &Value<'a>,
    ) -> Evaluated<Value<'a>> {
        if let Value::String(text) = value {
            self.budget.charge(text.len() as u64)?;
        }
        match (function, value) {
            (Function::ToTimestamp, Value::Timestamp(moment)) => Ok(Value::Timestamp(*moment)),
            (Function::ToTimestamp, Value::Int(seconds)) => {
                let moment = timestamp(i128::from(*seconds) * i128::from(NANOSECONDS));
                let overflow = EvaluationError::Overflow { operation: "timestamp()" };
                moment.map(Value::Timestamp).ok_or(overflow)
            }
            (Function::ToTimestamp, Value::String(text)) => parse_timestamp(text)
                .map(Value::Timestamp)
                .ok_or_else(|| conversion("a time such as 2026-01-31T08:30:00Z", value)),
            (Function::ToTimestamp, other) => {
                Err(wrong_type("timestamp()", "an int of Unix seconds or a string", other))
            }
            (_, Value::Duration(length)) => Ok(Value::Duration(*length)),
            (_, Value::String(text)) => parse_duration(text)
                .map(Value::Duration)
                .ok_or_else(|| conversion("a duration such as 1h30m", value)),
            (_, other) => Err(wrong_type("duration()", "a string", other)),
        }
    }
}

fn conversion(expected: &'static str, found: &Value<'_>) -> EvaluationError {
    EvaluationError::Conversion { expected, found: readable(found) }
}

fn to_bool(value: &Value<'_>) -> Evaluated<bool> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(conversion("`true` or `false`", value)),
        },
        other => Err(wrong_type("bool()", "a bool or a string", other)),
    }
}

fn to_int(value: &Value<'_>) -> Evaluated<i64> {
    let overflow = EvaluationError::Overflow { operation: "int()" };
    match value {
        Value::Int(value) => Ok(*value),
        Value::Uint(value) => i64::try_from(*value).map_err(|_| overflow),
        // Both ends are left out, as by cel-spec's conformance tests, though -2^63 would fit.
        Value::Double(value) if value.abs() < TWO_TO_63 => Ok(*value as i64),
        Value::Double(_) => Err(overflow),
        Value::String(text) => text.parse().map_err(|_| conversion("a whole number", value)),
        Value::Timestamp(moment) => {
            let seconds = moment.div_euclid(i128::from(NANOSECONDS));
            i64::try_from(seconds).map_err(|_| overflow)
        }
        other => Err(wrong_type("int()", "a number, a string or a timestamp", other)),
    }
}

fn to_uint(value: &Value<'_>) -> Evaluated<u64> {
    let overflow = EvaluationError::Overflow { operation: "uint()" };
    match value {
        Value::Uint(value) => Ok(*value),
        Value::Int(value) => u64::try_from(*value).map_err(|_| overflow),
        Value::Double(value) if (0.0..TWO_TO_64).contains(value) => Ok(*value as u64),
        Value::Double(_) => Err(overflow),
        Value::String(text) if !text.starts_with('+') => {
            text.parse().map_err(|_| conversion("a whole number of 0 or more", value))
        }
        Value::String(_) => Err(conversion("a whole number of 0 or more", value)),
        other => Err(wrong_type("uint()", "a number or a string", other)),
    }
}

fn to_double(value: &Value<'_>) -> Evaluated<f64> {
    match value {
        Value::Double(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Uint(value) => Ok(*value as f64),
        Value::String(text) => text.parse().map_err(|_| conversion("a number", value)),
        other => Err(wrong_type("double()", "a number or a string", other)),
    }
}

fn utf8(bytes: Cow<'_, [u8]>) -> Evaluated<Cow<'_, str>> {
    let text = match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
    };
    text.ok_or(EvaluationError::Conversion { expected: "bytes of UTF-8", found: "bytes".into() })
}
