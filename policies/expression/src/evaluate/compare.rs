//! Equality and order. Numbers of different types are compared by what they stand for; values of
//! types that have nothing to do with each other are unequal, and have no order.

use std::cmp::Ordering;

use super::{Evaluated, Evaluator};
use crate::budget::NODE_UNITS;
use crate::program::Function;
use crate::{EvaluationError, List, Map, Value};

/// How deeply lists and maps may be nested to be compared.
const MAX_NESTING: usize = 32;

impl<'a> Evaluator<'a, '_> {
    pub(super) fn equal(&mut self, a: &Value<'a>, b: &Value<'a>) -> Evaluated<bool> {
        self.equal_nested(a, b, 0)
    }

    fn equal_nested(&mut self, a: &Value<'a>, b: &Value<'a>, depth: usize) -> Evaluated<bool> {
        if depth > MAX_NESTING {
            return Err(EvaluationError::TooDeep { limit: MAX_NESTING });
        }
        Ok(match (a, b) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) => self.equal_bytes(a.as_bytes(), b.as_bytes())?,
            (Value::Bytes(a), Value::Bytes(b)) => self.equal_bytes(a, b)?,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::List(a), Value::List(b)) => self.equal_lists(a, b, depth)?,
            (Value::Map(a), Value::Map(b)) => self.equal_maps(a, b, depth)?,
            _ => numbers(a, b) == Some(Some(Ordering::Equal)),
        })
    }

    fn equal_bytes(&mut self, a: &[u8], b: &[u8]) -> Evaluated<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        self.budget.charge(a.len() as u64)?;
        Ok(a == b)
    }

    fn equal_lists(&mut self, a: &List<'a>, b: &List<'a>, depth: usize) -> Evaluated<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for at in 0..a.len() {
            self.budget.charge(NODE_UNITS)?;
            let (Some(a), Some(b)) = (a.get(at), b.get(at)) else { return Ok(false) };
            if !self.equal_nested(&a, &b, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal_maps(&mut self, a: &Map<'a>, b: &Map<'a>, depth: usize) -> Evaluated<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        match a {
            Map::Lent(owner) => {
                for (key, value) in owner.keys().filter_map(|key| Some((key, owner.get(key)?))) {
                    if !self.equal_entry(&Value::from(key), &value, b, depth)? {
                        return Ok(false);
                    }
                }
            }
            Map::Made(entries) => {
                for (key, value) in entries.iter() {
                    if !self.equal_entry(key, value, b, depth)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn equal_entry(
        &mut self,
        key: &Value<'a>,
        value: &Value<'a>,
        other: &Map<'a>,
        depth: usize,
    ) -> Evaluated<bool> {
        match other {
            Map::Made(entries) => match self.look_up_made(entries, key)? {
                Some(found) => self.equal_nested(value, found, depth + 1),
                None => Ok(false),
            },
            Map::Lent(_) => match self.look_up(other, key)? {
                Some(found) => self.equal_nested(value, &found, depth + 1),
                None => Ok(false),
            },
        }
    }

    pub(super) fn ordered(
        &mut self,
        function: Function,
        a: &Value<'a>,
        b: &Value<'a>,
    ) -> Evaluated<Value<'a>> {
        let ordering = match (a, b) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => {
                self.budget.charge(a.len().min(b.len()) as u64)?;
                Some(a.cmp(b))
            }
            (Value::Bytes(a), Value::Bytes(b)) => {
                self.budget.charge(a.len().min(b.len()) as u64)?;
                Some(a.cmp(b))
            }
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            _ => numbers(a, b).ok_or_else(|| no_order(function, a, b))?,
        };
        // Nothing is before, after or equal to what is not a number.
        let holds = ordering.is_some_and(|ordering| match function {
            Function::Less => ordering.is_lt(),
            Function::LessOrEqual => ordering.is_le(),
            Function::Greater => ordering.is_gt(),
            _ => ordering.is_ge(),
        });
        Ok(Value::Bool(holds))
    }
}

fn no_order(function: Function, a: &Value<'_>, b: &Value<'_>) -> EvaluationError {
    let (expected, found) = match a {
        Value::Bool(_) => ("two bools", b),
        Value::Int(_) | Value::Uint(_) | Value::Double(_) => ("two numbers", b),
        Value::String(_) => ("two strings", b),
        Value::Bytes(_) => ("bytes twice", b),
        Value::Timestamp(_) => ("two timestamps", b),
        Value::Duration(_) => ("two durations", b),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Type(_) => {
            ("values that have an order", a)
        }
    };
    super::wrong_type(function.name(), expected, found)
}

/// How two numbers compare, `Some(None)` where one of them is not a number; `None` where they are
/// not both of a numeric type.
#[allow(clippy::option_option, reason = "no numbers, no order among them, and an order")]
pub(super) fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Option<Ordering>> {
    let ordering = match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => integer_and_double(integer(b)?, *a).map(Ordering::reverse),
        (a, Value::Double(b)) => integer_and_double(integer(a)?, *b),
        (a, b) => Some(integer(a)?.cmp(&integer(b)?)),
    };
    Some(ordering)
}

fn integer(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// Compares without rounding: no double stands for every 64-bit integer.
fn integer_and_double(integer: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // The cast saturates, far outside of what 64 bits hold.
    let whole = double.trunc() as i128;
    Some(integer.cmp(&whole).then(0.0.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)))
}
