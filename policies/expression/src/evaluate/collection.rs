//! Fields, indexes, sizes, `in`, and map literals.

use rkyv::rend::u32_le;

use super::{Entries, Evaluated, Evaluator, copied_bytes, made, malformed, wrong_type};
use crate::budget::NODE_UNITS;
use crate::error::shortened;
use crate::format::write_value;
use crate::{EvaluationError, List, Map, Value};

impl<'a> Evaluator<'a, '_> {
    pub(super) fn select(
        &mut self,
        operand: u32_le,
        field: u32_le,
        at: u32,
    ) -> Evaluated<Value<'a>> {
        let field = self.constant_text(field)?;
        match self.visit(operand.to_native(), at)? {
            Value::Map(map) => self.entry(&map, &Value::from(field)),
            other => Err(wrong_type("a field", "a map", &other)),
        }
    }

    pub(super) fn has(&mut self, operand: u32_le, field: u32_le, at: u32) -> Evaluated<Value<'a>> {
        let field = self.constant_text(field)?;
        match self.visit(operand.to_native(), at)? {
            Value::Map(map) => Ok(Value::Bool(self.look_up(&map, &Value::from(field))?.is_some())),
            other => Err(wrong_type("has()", "a map", &other)),
        }
    }

    pub(super) fn index(&mut self, container: &Value<'a>, key: &Value<'a>) -> Evaluated<Value<'a>> {
        match container {
            Value::Map(map) => self.entry(map, key),
            Value::List(list) => {
                let element = whole(key)?.and_then(|at| list.get(at));
                let element = element.ok_or_else(|| EvaluationError::NoSuchIndex {
                    index: readable(key),
                    size: list.len(),
                })?;
                if let List::Made(_) = list {
                    self.budget.charge(copied_bytes(&element))?;
                }
                Ok(element)
            }
            other => Err(wrong_type("`[]`", "a list or a map", other)),
        }
    }

    pub(super) fn size(&mut self, value: &Value<'a>) -> Evaluated<Value<'a>> {
        let size = match value {
            Value::String(text) => {
                self.budget.charge(text.len() as u64)?;
                text.chars().count()
            }
            Value::Bytes(bytes) => bytes.len(),
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            other => return Err(wrong_type("size()", "a string, bytes, a list or a map", other)),
        };
        Ok(Value::Int(size as i64))
    }

    pub(super) fn contained(
        &mut self,
        value: &Value<'a>,
        within: &Value<'a>,
    ) -> Evaluated<Value<'a>> {
        let found = match within {
            Value::Map(map) => self.look_up(map, value)?.is_some(),
            Value::List(List::Made(elements)) => self.any_equal(elements.iter(), value)?,
            Value::List(List::Lent(owner)) => {
                let mut found = false;
                for element in (0..owner.len()).map_while(|at| owner.get(at)) {
                    self.budget.charge(NODE_UNITS)?;
                    found = self.equal(&element, value)?;
                    if found {
                        break;
                    }
                }
                found
            }
            other => return Err(wrong_type("`in`", "a list or a map on its right", other)),
        };
        Ok(Value::Bool(found))
    }

    fn any_equal<'v>(
        &mut self,
        elements: impl Iterator<Item = &'v Value<'a>>,
        value: &Value<'a>,
    ) -> Evaluated<bool>
    where
        'a: 'v,
    {
        for element in elements {
            self.budget.charge(NODE_UNITS)?;
            if self.equal(element, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn map_literal(
        &mut self,
        first: u32_le,
        count: u32_le,
        at: u32,
    ) -> Evaluated<Value<'a>> {
        let operands = self.operands(first, count)?;
        let mut entries: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(operands.len() / 2);
        for pair in operands.chunks(2) {
            let [key, value] = *pair else { return Err(malformed("a map's key has no value")) };
            let key = self.visit(key.to_native(), at)?;
            if !matches!(key, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::String(_)) {
                return Err(wrong_type("a map's key", "a bool, int, uint or string", &key));
            }
            if self.look_up_made(&entries, &key)?.is_some() {
                return Err(EvaluationError::RepeatedKey { key: readable(&key) });
            }
            entries.push((key, self.visit(value.to_native(), at)?));
        }
        Ok(made(entries))
    }

    fn entry(&mut self, map: &Map<'a>, key: &Value<'a>) -> Evaluated<Value<'a>> {
        let value = self.look_up(map, key)?;
        value.ok_or_else(|| EvaluationError::NoSuchKey { key: readable(key) })
    }

    /// The value of `key`; `None` where there is none, and for a key of a type that no key has.
    pub(super) fn look_up(
        &mut self,
        map: &Map<'a>,
        key: &Value<'a>,
    ) -> Evaluated<Option<Value<'a>>> {
        match map {
            Map::Lent(owner) => {
                let Value::String(key) = key else { return Ok(None) };
                self.budget.charge(NODE_UNITS + key.len() as u64)?;
                Ok(owner.get(key))
            }
            Map::Made(entries) => match self.look_up_made(entries, key)? {
                Some(value) => {
                    self.budget.charge(copied_bytes(value))?;
                    Ok(Some(value.clone()))
                }
                None => Ok(None),
            },
        }
    }

    pub(super) fn look_up_made<'v>(
        &mut self,
        entries: &'v Entries<'a>,
        key: &Value<'a>,
    ) -> Evaluated<Option<&'v Value<'a>>> {
        let text = if let Value::String(text) = key { text.len() } else { 0 };
        self.budget.charge((NODE_UNITS + text as u64) * entries.len() as u64)?;
        Ok(entries.iter().find(|(other, _)| same_key(other, key)).map(|(_, value)| value))
    }
}

fn same_key(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        _ => super::compare::numbers(a, b) == Some(Some(std::cmp::Ordering::Equal)),
    }
}

/// The place in a list that a number names; `None` for one that no list has.
fn whole(index: &Value<'_>) -> Evaluated<Option<usize>> {
    match index {
        Value::Int(index) => Ok(usize::try_from(*index).ok()),
        Value::Uint(index) => Ok(usize::try_from(*index).ok()),
        Value::Double(index) if index.fract() == 0.0 && (0.0..1e9).contains(index) => {
            Ok(Some(*index as usize))
        }
        other => Err(wrong_type("`[]`", "a whole number", other)),
    }
}

/// `value` for an error: short, whatever it is.
pub(super) fn readable(value: &Value<'_>) -> String {
    let mut text = String::new();
    match value {
        Value::String(long) => return shortened(long),
        Value::List(_) | Value::Map(_) | Value::Bytes(_) => text = value.kind().to_string(),
        other => {
            let _ = write_value(&mut text, other);
        }
    }
    text
}
