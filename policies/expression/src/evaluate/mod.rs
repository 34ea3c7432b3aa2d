//! Evaluation of an archived program, in place.
//!
//! The evaluator believes nothing about the program: an index that is out of its vector, an operand
//! that does not lie before its node, or nodes nested too deeply are errors, and the budget ends
//! what is left.

mod arithmetic;
mod calendar;
mod call;
mod collection;
mod compare;
mod comprehension;
mod convert;
mod pattern;
mod text;

use std::rc::Rc;

use rkyv::rend::u32_le;

use crate::budget::NODE_UNITS;
use crate::program::{ArchivedConstant, ArchivedNode, ArchivedProgram, MAX_DEPTH};
use crate::{Budget, EvaluationError, Kind, List, Map, Value};

#[cfg(feature = "compile")]
pub(crate) use pattern::{MAX_PATTERN_BYTES, building_units, matching_units, pattern_limit};

/// What an expression is evaluated over.
pub trait Variables {
    /// The value of the declared variable at `path`, dotted, such as `request.method`; `None` where
    /// it has none. Only paths that the program's `paths()` lists are asked for, each only
    /// when evaluation comes to it, and again each time it does.
    ///
    /// Lists and maps are to be lent: one that is made is copied from and searched in ways whose
    /// cost the compiler does not reckon with for a variable, and may spend the budget.
    fn get(&self, path: &str) -> Option<Value<'_>>;
}

type Evaluated<T> = Result<T, EvaluationError>;

impl ArchivedProgram {
    /// Its value over `variables`, borrowed from them and from the program where it can be.
    ///
    /// # Errors
    /// [`EvaluationError`]; among them [`EvaluationError::BudgetSpent`], where `budget` has not
    /// enough left for it.
    pub fn evaluate<'a>(
        &'a self,
        variables: &'a dyn Variables,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvaluationError> {
        let mut evaluator =
            Evaluator { program: self, variables, budget, locals: Vec::new(), depth: 0 };
        let end = self.nodes.len() as u32;
        evaluator.visit(end.checked_sub(1).ok_or(malformed("it has no node"))?, end)
    }

    /// Its value, which has to be a bool.
    ///
    /// # Errors
    /// As [`ArchivedProgram::evaluate`], and [`EvaluationError::WrongType`] for another value.
    pub fn evaluate_bool(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
    ) -> Result<bool, EvaluationError> {
        boolean(&self.evaluate(variables, budget)?, "the expression")
    }
}

/// One evaluation.
struct Evaluator<'a, 'b> {
    program: &'a ArchivedProgram,
    variables: &'a dyn Variables,
    budget: &'b mut Budget,
    /// The elements that the comprehensions around the node are at, outermost first.
    locals: Vec<Value<'a>>,
    depth: usize,
}

impl<'a> Evaluator<'a, '_> {
    /// The value of the node at `index`, an operand of the one at `parent`.
    fn visit(&mut self, index: u32, parent: u32) -> Evaluated<Value<'a>> {
        if index >= parent {
            return Err(malformed("an operand does not lie before its node"));
        }
        if self.depth == MAX_DEPTH {
            return Err(malformed("it is nested too deeply"));
        }
        self.budget.charge(NODE_UNITS)?;
        self.depth += 1;
        let value = self.node(index);
        self.depth -= 1;
        value
    }

    fn node(&mut self, at: u32) -> Evaluated<Value<'a>> {
        let program = self.program;
        let node = program.nodes.get(at as usize).ok_or(malformed("it has no such node"))?;
        match *node {
            ArchivedNode::Constant(index) => Ok(Value::from(self.constant(index)?)),
            ArchivedNode::ConstantList(index) => {
                let list = program.lists.get(place(index));
                Ok(Value::list(list.ok_or(malformed("it has no such list"))?))
            }
            ArchivedNode::Variable(index) => {
                let path = self.path(index)?;
                let value = self.variables.get(path);
                value.ok_or_else(|| EvaluationError::NoValue { path: path.to_owned() })
            }
            ArchivedNode::HasVariable(index) => {
                Ok(Value::Bool(self.variables.get(self.path(index)?).is_some()))
            }
            ArchivedNode::Local(slot) => {
                let value =
                    self.locals.get(place(slot)).ok_or(malformed("it has no such local"))?;
                self.budget.charge(copied_bytes(value))?;
                Ok(value.clone())
            }
            ArchivedNode::Select { operand, field } => self.select(operand, field, at),
            ArchivedNode::Has { operand, field } => self.has(operand, field, at),
            ArchivedNode::And(left, right) => self.logic(left, right, at, false),
            ArchivedNode::Or(left, right) => self.logic(left, right, at, true),
            ArchivedNode::Conditional { condition, then, otherwise } => {
                let condition = self.visit(condition.to_native(), at)?;
                let chosen = if boolean(&condition, "`?:`")? { then } else { otherwise };
                self.visit(chosen.to_native(), at)
            }
            ArchivedNode::Call { function, first, count } => {
                self.call(function.into(), first.to_native(), count.to_native(), at)
            }
            ArchivedNode::Matches { text, pattern, limit } => {
                self.matches(text, pattern, limit.to_native(), at)
            }
            ArchivedNode::List { first, count } => {
                let elements = self.operands(first, count)?.iter();
                let values = elements.map(|element| self.visit(element.to_native(), at));
                Ok(Value::List(List::Made(Rc::new(values.collect::<Evaluated<_>>()?))))
            }
            ArchivedNode::Map { first, count } => self.map_literal(first, count, at),
            ArchivedNode::Comprehension { comprehension, range, body } => {
                self.comprehension(comprehension, range.to_native(), body.to_native(), at)
            }
            ArchivedNode::FilteredMap { range, condition, body } => {
                self.filtered_map(range.to_native(), condition.to_native(), body.to_native(), at)
            }
        }
    }

    /// `&&`, which `false` decides, and `||`, which `true` decides, whatever the other side is: an
    /// error among the rest (cel-spec, "Logical Operators").
    fn logic(
        &mut self,
        left: u32_le,
        right: u32_le,
        at: u32,
        decisive: bool,
    ) -> Evaluated<Value<'a>> {
        let operation = if decisive { "`||`" } else { "`&&`" };
        let left = self.visit(left.to_native(), at).and_then(|it| boolean(&it, operation));
        match left {
            Ok(value) if value == decisive => return Ok(Value::Bool(decisive)),
            Err(error) if error.ends_all() => return Err(error),
            _ => {}
        }
        let right = self.visit(right.to_native(), at).and_then(|it| boolean(&it, operation));
        match (left, right) {
            (_, Ok(value)) if value == decisive => Ok(Value::Bool(decisive)),
            (_, Err(error)) if error.ends_all() => Err(error),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(_), Ok(_)) => Ok(Value::Bool(!decisive)),
        }
    }

    fn constant(&self, index: u32_le) -> Evaluated<&'a ArchivedConstant> {
        self.program.constants.get(place(index)).ok_or(malformed("it has no such constant"))
    }

    fn constant_text(&self, index: u32_le) -> Evaluated<&'a str> {
        match self.constant(index)? {
            ArchivedConstant::String(text) => Ok(text.as_str()),
            _ => Err(malformed("a name or pattern is no text")),
        }
    }

    fn path(&self, index: u32_le) -> Evaluated<&'a str> {
        let path = self.program.paths.get(place(index));
        path.map(|path| path.as_str()).ok_or(malformed("it has no such variable"))
    }

    /// The places of `count` operands.
    fn operands(&self, first: u32_le, count: u32_le) -> Evaluated<&'a [u32_le]> {
        let end = place(first).checked_add(place(count));
        end.and_then(|end| self.program.operands.get(place(first)..end))
            .ok_or(malformed("it has no such operands"))
    }
}

impl<'a> From<&'a ArchivedConstant> for Value<'a> {
    fn from(constant: &'a ArchivedConstant) -> Self {
        match constant {
            ArchivedConstant::Null => Value::Null,
            ArchivedConstant::Bool(value) => Value::Bool(*value),
            ArchivedConstant::Int(value) => Value::Int(value.to_native()),
            ArchivedConstant::Uint(value) => Value::Uint(value.to_native()),
            ArchivedConstant::Double(bits) => Value::Double(f64::from_bits(bits.to_native())),
            ArchivedConstant::String(text) => Value::from(text),
            ArchivedConstant::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
            ArchivedConstant::Timestamp { seconds, nanoseconds } => Value::Timestamp(
                i128::from(seconds.to_native()) * i128::from(crate::time::NANOSECONDS)
                    + i128::from(nanoseconds.to_native()),
            ),
            ArchivedConstant::Duration(value) => Value::Duration(value.to_native()),
            ArchivedConstant::Type(index) => {
                Value::Type(Kind::ALL.get(usize::from(*index)).copied().unwrap_or(Kind::Null))
            }
        }
    }
}

impl EvaluationError {
    /// Whether nothing may go on after it, not even the other side of an `||`.
    fn ends_all(&self) -> bool {
        matches!(self, Self::BudgetSpent { .. } | Self::Malformed { .. } | Self::TooDeep { .. })
    }
}

fn malformed(fault: &'static str) -> EvaluationError {
    EvaluationError::Malformed { fault }
}

fn place(index: u32_le) -> usize {
    index.to_native() as usize
}

fn boolean(value: &Value<'_>, operation: &'static str) -> Evaluated<bool> {
    match value {
        Value::Bool(value) => Ok(*value),
        other => Err(wrong_type(operation, "a bool", other)),
    }
}

fn wrong_type(
    operation: &'static str,
    expected: &'static str,
    found: &Value<'_>,
) -> EvaluationError {
    EvaluationError::WrongType { operation, expected, found: found.kind() }
}

/// How many bytes a clone of `value` copies.
fn copied_bytes(value: &Value<'_>) -> u64 {
    match value {
        Value::String(std::borrow::Cow::Owned(text)) => text.len() as u64,
        Value::Bytes(std::borrow::Cow::Owned(bytes)) => bytes.len() as u64,
        _ => 0,
    }
}

/// The entries of a map that an expression made.
type Entries<'a> = [(Value<'a>, Value<'a>)];

fn made<'a>(entries: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
    Value::Map(Map::Made(Rc::new(entries)))
}
