//! The language of checks: [CEL](https://github.com/google/cel-spec) expressions, type-checked and
//! bounded in cost before they are in force, and evaluated in place from an archive.
//!
//! A source is compiled once, by the control plane or a tool (feature `compile`): parsed,
//! type-checked against an [`Environment`] of declared variables, and given a bound of what it can
//! cost at worst. What cannot be bounded is refused. What comes out is a [`Program`], which travels
//! inside a table as an rkyv archive; [`ArchivedProgram`] is evaluated where it lies, with a
//! [`Budget`], over [`Variables`] that lend what they hold.
//!
//! It deliberately does not know what is checked: no tenant, request or claim has a name here. It
//! reads no clock; the time is a variable like any other. And it decides nothing: an
//! [`EvaluationError`] is never `true`, and what it means is up to who asked.
//!
//! Start reading at [`compile`] for how a source becomes a program, and at
//! [`ArchivedProgram::evaluate`] for how that is run.

mod budget;
mod error;
mod format;
#[cfg(feature = "json")]
mod json;
mod program;
mod template;
mod time;
mod value;

#[cfg(feature = "compile")]
mod compile;
mod evaluate;

#[cfg(feature = "compile")]
pub use compile::{
    Compiled, Environment, MAX_SOURCE_BYTES, Mistake, Type, Variable, compile, compile_template,
};

pub use budget::{Budget, MAX_COST};
pub use error::EvaluationError;
pub use evaluate::Variables;
pub use program::{ArchivedProgram, Prepared, Program};
pub use template::{ArchivedTemplate, MAX_MESSAGE_BYTES, Template};
pub use value::{Kind, List, Map, Mapping, Sequence, Value};
