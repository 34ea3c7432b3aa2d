//! Messages with expressions inside: `the token of ${tenant.id} is older than an hour`.

use std::fmt::Write;

use rkyv::{Archive, Serialize};

use crate::format::write_value;
use crate::{Budget, Program, Variables};

/// The longest message that a template renders to, in bytes. What is longer is cut.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// What stands for an expression that gave no value.
const UNKNOWN: &str = "(unknown)";

/// A message with expressions inside, compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
#[rkyv(derive(Debug))]
pub struct Template {
    pub(crate) parts: Vec<Part>,
}

/// A piece of a message.
#[cfg_attr(not(feature = "compile"), allow(dead_code, reason = "read as archives only"))]
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize)]
#[rkyv(derive(Debug))]
pub(crate) enum Part {
    /// Written as it is.
    Text(String),
    /// Its value is written.
    Expression(Program),
}

impl Template {
    /// A message without expressions in it: `text` as it is.
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())] }
    }

    /// The variables that its expressions read; some may come more than once.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.parts
            .iter()
            .flat_map(|part| match part {
                Part::Text(_) => [].iter(),
                Part::Expression(program) => program.paths.iter(),
            })
            .map(String::as_str)
    }

    /// Archives it and renders it once, as [`ArchivedTemplate::render`] does.
    pub fn render(&self, variables: &dyn Variables, budget: &mut Budget) -> String {
        let Ok(bytes) = rkyv::to_bytes::<rkyv::rancor::Error>(self) else {
            return UNKNOWN.to_owned();
        };
        match rkyv::access::<ArchivedTemplate, rkyv::rancor::Error>(&bytes) {
            Ok(template) => template.render(variables, budget),
            Err(_) => UNKNOWN.to_owned(),
        }
    }
}

impl ArchivedTemplate {
    /// The variables that its expressions read; some may come more than once.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.parts
            .iter()
            .flat_map(|part| match part {
                ArchivedPart::Text(_) => [].iter(),
                ArchivedPart::Expression(program) => program.paths.iter(),
            })
            .map(|path| path.as_str())
    }

    /// The message, at most [`MAX_MESSAGE_BYTES`] long. It is for people, and a denial goes on
    /// without it: an expression that gives no value reads `(unknown)`.
    pub fn render(&self, variables: &dyn Variables, budget: &mut Budget) -> String {
        let mut message = Message(String::new());
        for part in self.parts.iter() {
            let written = match part {
                ArchivedPart::Text(text) => message.write_str(text),
                ArchivedPart::Expression(program) => match program.evaluate(variables, budget) {
                    Ok(value) => write_value(&mut message, &value),
                    Err(_) => message.write_str(UNKNOWN),
                },
            };
            if written.is_err() {
                break;
            }
        }
        message.0
    }
}

/// Text that stops growing, with an error, at [`MAX_MESSAGE_BYTES`].
struct Message(String);

impl Write for Message {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let left = MAX_MESSAGE_BYTES - self.0.len();
        if text.len() <= left {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(left)]);
        Err(std::fmt::Error)
    }
}
