//! An expression whose names and types are settled.

use super::Type;
use crate::program::{Comprehension, Constant, Function};

/// A part of a source, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// An expression, its type, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub(super) expression: Expression,
    pub(super) ty: Type,
    pub(super) span: Span,
}

#[derive(Debug, Clone)]
pub(super) enum Expression {
    Constant(Constant),
    ConstantList(Vec<Constant>),
    /// Its place in the environment.
    Variable(usize),
    HasVariable(usize),
    /// The comprehension around it that it is of, the outermost being 0.
    Local(usize),
    Select {
        operand: Box<Typed>,
        field: String,
    },
    Has {
        operand: Box<Typed>,
        field: String,
    },
    And(Box<[Typed; 2]>),
    Or(Box<[Typed; 2]>),
    /// Condition, then, otherwise.
    Conditional(Box<[Typed; 3]>),
    Call {
        function: Function,
        operands: Vec<Typed>,
    },
    Matches {
        text: Box<Typed>,
        pattern: String,
        limit: u32,
    },
    List(Vec<Typed>),
    /// Keys and values by turns.
    Map(Vec<Typed>),
    Comprehension {
        comprehension: Comprehension,
        range: Box<Typed>,
        body: Box<Typed>,
    },
    FilteredMap {
        range: Box<Typed>,
        condition: Box<Typed>,
        body: Box<Typed>,
    },
}

impl Typed {
    /// The expressions that it is made of.
    pub(super) fn children(&self) -> Vec<&Typed> {
        match &self.expression {
            Expression::Constant(_)
            | Expression::ConstantList(_)
            | Expression::Variable(_)
            | Expression::HasVariable(_)
            | Expression::Local(_) => Vec::new(),
            Expression::Select { operand, .. } | Expression::Has { operand, .. } => vec![operand],
            Expression::And(sides) | Expression::Or(sides) => sides.iter().collect(),
            Expression::Conditional(parts) => parts.iter().collect(),
            Expression::Matches { text, .. } => vec![text],
            Expression::Call { operands: parts, .. }
            | Expression::List(parts)
            | Expression::Map(parts) => parts.iter().collect(),
            Expression::Comprehension { range, body, .. } => vec![range, body],
            Expression::FilteredMap { range, condition, body } => vec![range, condition, body],
        }
    }
}
