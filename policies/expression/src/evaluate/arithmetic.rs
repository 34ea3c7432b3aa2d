//! `+ - * / %` and negation. An integer that overflows is an error, a double that does is infinite.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Evaluated, Evaluator, copied_bytes, wrong_type};
use crate::budget::NODE_UNITS;
use crate::program::Function;
use crate::time::timestamp;
use crate::{EvaluationError, List, Value};

impl<'a> Evaluator<'a, '_> {
    pub(super) fn add(&mut self, a: Value<'a>, b: Value<'a>) -> Evaluated<Value<'a>> {
        match (a, b) {
            (Value::String(a), Value::String(b)) => {
                self.budget.charge((a.len() + b.len()) as u64)?;
                let mut text = a.into_owned();
                text.push_str(&b);
                Ok(Value::String(Cow::Owned(text)))
            }
            (Value::Bytes(a), Value::Bytes(b)) => {
                self.budget.charge((a.len() + b.len()) as u64)?;
                let mut bytes = a.into_owned();
                bytes.extend_from_slice(&b);
                Ok(Value::Bytes(Cow::Owned(bytes)))
            }
            (Value::List(a), Value::List(b)) => self.concatenate(&a, &b),
            (a, b) => Self::arithmetic(Function::Add, &a, &b),
        }
    }

    fn concatenate(&mut self, a: &List<'a>, b: &List<'a>) -> Evaluated<Value<'a>> {
        self.budget.charge(NODE_UNITS * (a.len() + b.len()) as u64)?;
        let mut values = Vec::with_capacity(a.len() + b.len());
        for list in [a, b] {
            for value in (0..list.len()).map_while(|at| list.get(at)) {
                self.budget.charge(copied_bytes(&value))?;
                values.push(value);
            }
        }
        Ok(Value::List(List::Made(Rc::new(values))))
    }

    pub(super) fn arithmetic(
        function: Function,
        a: &Value<'a>,
        b: &Value<'a>,
    ) -> Evaluated<Value<'a>> {
        let operation = function.name();
        let overflow = || EvaluationError::Overflow { operation };
        let value = match (a, b) {
            (Value::Int(a), Value::Int(b)) => {
                divisor(function, *b == 0)?;
                Value::Int(int(function, *a, *b).ok_or_else(overflow)?)
            }
            (Value::Uint(a), Value::Uint(b)) => {
                divisor(function, *b == 0)?;
                Value::Uint(uint(function, *a, *b).ok_or_else(overflow)?)
            }
            (Value::Double(a), Value::Double(b)) => match function {
                Function::Add => Value::Double(a + b),
                Function::Subtract => Value::Double(a - b),
                Function::Multiply => Value::Double(a * b),
                Function::Divide => Value::Double(a / b),
                _ => return Err(mismatch(function, &Value::Double(*a), &Value::Double(*b))),
            },
            _ => moment(function, a, b)?.ok_or_else(overflow)?,
        };
        Ok(value)
    }

    pub(super) fn negate(value: &Value<'a>) -> Evaluated<Value<'a>> {
        match value {
            Value::Int(value) => {
                let overflow = EvaluationError::Overflow { operation: "`-`" };
                Ok(Value::Int(value.checked_neg().ok_or(overflow)?))
            }
            Value::Double(value) => Ok(Value::Double(-value)),
            other => Err(wrong_type("`-`", "an int or a double", other)),
        }
    }
}

fn divisor(function: Function, is_zero: bool) -> Evaluated<()> {
    match function {
        Function::Divide | Function::Remainder if is_zero => {
            Err(EvaluationError::DivisionByZero { operation: function.name() })
        }
        _ => Ok(()),
    }
}

fn int(function: Function, a: i64, b: i64) -> Option<i64> {
    match function {
        Function::Add => a.checked_add(b),
        Function::Subtract => a.checked_sub(b),
        Function::Multiply => a.checked_mul(b),
        Function::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    }
}

fn uint(function: Function, a: u64, b: u64) -> Option<u64> {
    match function {
        Function::Add => a.checked_add(b),
        Function::Subtract => a.checked_sub(b),
        Function::Multiply => a.checked_mul(b),
        Function::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    }
}

/// Arithmetic on timestamps and durations; `None` where it overflows.
fn moment<'a>(function: Function, a: &Value<'a>, b: &Value<'a>) -> Evaluated<Option<Value<'a>>> {
    let shifted =
        |moment: i128, by: i128| moment.checked_add(by).and_then(timestamp).map(Value::Timestamp);
    Ok(match (function, a, b) {
        (Function::Add, Value::Timestamp(moment), Value::Duration(length))
        | (Function::Add, Value::Duration(length), Value::Timestamp(moment)) => {
            shifted(*moment, i128::from(*length))
        }
        (Function::Subtract, Value::Timestamp(moment), Value::Duration(length)) => {
            shifted(*moment, -i128::from(*length))
        }
        (Function::Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            a.checked_sub(*b).and_then(|length| i64::try_from(length).ok()).map(Value::Duration)
        }
        (Function::Add, Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).map(Value::Duration)
        }
        (Function::Subtract, Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration)
        }
        _ => return Err(mismatch(function, a, b)),
    })
}

/// The operand to blame: the second, where the first is of a type that the operator takes at all.
fn mismatch(function: Function, a: &Value<'_>, b: &Value<'_>) -> EvaluationError {
    let expected = match (function, a) {
        (Function::Remainder, Value::Int(_)) | (_, Value::Int(_)) => "two ints",
        (_, Value::Uint(_)) => "two uints",
        (Function::Remainder, _) => return wrong_type(function.name(), "ints or uints", a),
        (_, Value::Double(_)) => "two doubles",
        (Function::Add, Value::String(_)) => "two strings",
        (Function::Add, Value::Bytes(_)) => "bytes twice",
        (Function::Add, Value::List(_)) => "two lists",
        (Function::Add | Function::Subtract, Value::Timestamp(_) | Value::Duration(_)) => {
            "timestamps and durations"
        }
        _ => return wrong_type(function.name(), "numbers", a),
    };
    wrong_type(function.name(), expected, b)
}
