//! Parts of a timestamp, at an offset from UTC, and of a duration.

use super::{Evaluated, Evaluator, wrong_type};
use crate::program::Function;
use crate::time::{Calendar, NANOSECONDS, timestamp};
use crate::{EvaluationError, Value};

impl<'a> Evaluator<'a, '_> {
    /// A part of `value`; `offset` is in seconds east of UTC. Months, days of the month (but for
    /// `getDate()`) and days of the year count from 0, days of the week from Sunday.
    pub(super) fn calendar(
        function: Function,
        value: &Value<'a>,
        offset: i64,
    ) -> Evaluated<Value<'a>> {
        let part = match value {
            Value::Timestamp(moment) => of_timestamp(function, *moment, offset)?,
            Value::Duration(length) => of_duration(function, *length),
            other => return Err(wrong_type(function.name(), "a timestamp or a duration", other)),
        };
        part.map(Value::Int).ok_or_else(|| wrong_type(function.name(), "a timestamp", value))
    }
}

fn of_timestamp(function: Function, moment: i128, offset: i64) -> Evaluated<Option<i64>> {
    let overflow = EvaluationError::Overflow { operation: function.name() };
    let moment = timestamp(moment).ok_or(overflow)?;
    let calendar = Calendar::of(moment + i128::from(offset) * i128::from(NANOSECONDS));
    Ok(Some(match function {
        Function::FullYear => calendar.year,
        Function::Month => calendar.month - 1,
        Function::Date => calendar.day,
        Function::DayOfMonth => calendar.day - 1,
        Function::DayOfWeek => calendar.weekday,
        Function::DayOfYear => calendar.day_of_year,
        Function::Hours => calendar.hour,
        Function::Minutes => calendar.minute,
        Function::Seconds => calendar.second,
        Function::Milliseconds => calendar.nanosecond / 1_000_000,
        _ => return Ok(None),
    }))
}

/// Whole hours, minutes or seconds of all of it; but only the milliseconds beyond the last second,
/// as cel-spec has it.
fn of_duration(function: Function, length: i64) -> Option<i64> {
    let seconds = length / NANOSECONDS;
    match function {
        Function::Hours => Some(seconds / 3600),
        Function::Minutes => Some(seconds / 60),
        Function::Seconds => Some(seconds),
        Function::Milliseconds => Some(length % NANOSECONDS / 1_000_000),
        _ => None,
    }
}
