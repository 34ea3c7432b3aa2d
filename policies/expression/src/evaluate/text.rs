//! Functions on text. Positions count code points, as cel-spec says.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Evaluated, Evaluator, wrong_type};
use crate::budget::NODE_UNITS;
use crate::program::Function;
use crate::{EvaluationError, List, Value};

impl<'a> Evaluator<'a, '_> {
    pub(super) fn search(
        &mut self,
        function: Function,
        text: &Value<'a>,
        part: &Value<'a>,
    ) -> Evaluated<Value<'a>> {
        let (text, part) = (string(function, text)?, string(function, part)?);
        self.budget.charge((text.len() + part.len()) as u64)?;
        Ok(match function {
            Function::Contains => Value::Bool(text.contains(part)),
            Function::StartsWith => Value::Bool(text.starts_with(part)),
            Function::EndsWith => Value::Bool(text.ends_with(part)),
            _ => Value::Int(match text.split_once(part) {
                Some((before, _)) => before.chars().count() as i64,
                None => -1,
            }),
        })
    }

    pub(super) fn change_case(
        &mut self,
        function: Function,
        text: Value<'a>,
    ) -> Evaluated<Value<'a>> {
        let Value::String(mut text) = text else {
            return Err(wrong_type(function.name(), "a string", &text));
        };
        self.budget.charge(text.len() as u64)?;
        if function == Function::LowerAscii && text.bytes().any(|it| it.is_ascii_uppercase()) {
            text.to_mut().make_ascii_lowercase();
        }
        if function == Function::UpperAscii && text.bytes().any(|it| it.is_ascii_lowercase()) {
            text.to_mut().make_ascii_uppercase();
        }
        Ok(Value::String(text))
    }

    pub(super) fn trim(&mut self, text: Value<'a>) -> Evaluated<Value<'a>> {
        let Value::String(text) = text else {
            return Err(wrong_type(Function::Trim.name(), "a string", &text));
        };
        self.budget.charge(text.len() as u64)?;
        Ok(Value::String(part(&text, str::trim)))
    }

    pub(super) fn split(&mut self, text: Value<'a>, separator: &Value<'a>) -> Evaluated<Value<'a>> {
        let separator = string(Function::Split, separator)?;
        let Value::String(text) = text else {
            return Err(wrong_type(Function::Split.name(), "a string", &text));
        };
        self.budget.charge((text.len() + separator.len()) as u64)?;
        let parts = match &text {
            Cow::Borrowed(text) => {
                self.parts(text, separator, |part| Value::String(Cow::Borrowed(part)))?
            }
            Cow::Owned(text) => {
                self.parts(text, separator, |part| Value::String(Cow::Owned(part.to_owned())))?
            }
        };
        Ok(Value::List(List::Made(Rc::new(parts))))
    }

    /// Between separators; with an empty one, each character.
    fn parts<'t>(
        &mut self,
        text: &'t str,
        separator: &str,
        value: impl Fn(&'t str) -> Value<'a>,
    ) -> Evaluated<Vec<Value<'a>>> {
        let mut parts = Vec::new();
        let mut push = |part| {
            self.budget.charge(NODE_UNITS)?;
            parts.push(value(part));
            Ok::<(), EvaluationError>(())
        };
        if separator.is_empty() {
            let ends = text.char_indices().map(|(start, it)| &text[start..start + it.len_utf8()]);
            ends.into_iter().try_for_each(&mut push)?;
        } else {
            text.split(separator).try_for_each(&mut push)?;
        }
        Ok(parts)
    }

    pub(super) fn join(&mut self, list: &Value<'a>, separator: &Value<'a>) -> Evaluated<Value<'a>> {
        let separator = string(Function::Join, separator)?;
        let Value::List(list) = list else {
            return Err(wrong_type(Function::Join.name(), "a list of strings", list));
        };
        let mut text = String::new();
        for (at, element) in (0..list.len()).map_while(|at| Some((at, list.get(at)?))) {
            let element = string(Function::Join, &element)?;
            self.budget.charge(NODE_UNITS + (element.len() + separator.len()) as u64)?;
            if at > 0 {
                text.push_str(separator);
            }
            text.push_str(element);
        }
        Ok(Value::String(Cow::Owned(text)))
    }

    pub(super) fn substring(
        &mut self,
        text: Value<'a>,
        start: &Value<'a>,
        end: Option<&Value<'a>>,
    ) -> Evaluated<Value<'a>> {
        let Value::String(text) = text else {
            return Err(wrong_type(Function::Substring.name(), "a string", &text));
        };
        self.budget.charge(text.len() as u64)?;
        let start_byte = position(&text, start)?;
        let end_byte = end.map_or(Ok(text.len()), |end| position(&text, end))?;
        if start_byte > end_byte {
            let index = super::collection::readable(start);
            return Err(EvaluationError::NoSuchIndex { index, size: text.chars().count() });
        }
        Ok(Value::String(part(&text, |text| text.get(start_byte..end_byte).unwrap_or_default())))
    }
}

/// The byte at which the character at `index` starts, one past the last among them.
fn position(text: &str, index: &Value<'_>) -> Evaluated<usize> {
    let Value::Int(at) = index else {
        return Err(wrong_type(Function::Substring.name(), "ints", index));
    };
    let ends = text.char_indices().map(|(start, _)| start).chain([text.len()]);
    let found = usize::try_from(*at).ok().and_then(|at| ends.into_iter().nth(at));
    found.ok_or_else(|| EvaluationError::NoSuchIndex {
        index: at.to_string(),
        size: text.chars().count(),
    })
}

/// A part of `text`, borrowed where it is.
fn part<'a>(text: &Cow<'a, str>, of: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(of(text)),
        Cow::Owned(text) => Cow::Owned(of(text).to_owned()),
    }
}

fn string<'v>(function: Function, value: &'v Value<'_>) -> Evaluated<&'v str> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(function.name(), "a string", other)),
    }
}
