//! The type checker: every name, field, operator, function and macro, and what it is used on.
//!
//! It goes on after a mistake, with a value of any type in its place, so that one run finds many.

mod call;
mod functions;
mod literal;
mod macros;
mod names;
mod operators;

use cel::common::ast::{Expr, IdedExpr};

use super::parse::Parsed;
use super::typed::{Expression, Span, Typed};
use super::{Environment, Mistake, Type};
use crate::program::{Constant, MAX_DEPTH};

/// The expression with its types, whose value is of type `expected`.
pub(super) fn check(
    parsed: &Parsed<'_>,
    environment: &Environment,
    expected: &Type,
) -> Result<Typed, Vec<Mistake>> {
    let mut checker =
        Checker { parsed, environment, locals: Vec::new(), mistakes: Vec::new(), depth: 0 };
    let typed = checker.expression(&parsed.root);
    if checker.mistakes.is_empty() && !typed.ty.fits(expected) {
        let found = &typed.ty;
        let message = format!("expected an expression of type {expected}, found {found}");
        checker.mistake(typed.span, message);
    }
    if checker.mistakes.is_empty() {
        return Ok(typed);
    }
    checker.mistakes.sort();
    checker.mistakes.dedup();
    Err(checker.mistakes)
}

struct Checker<'e> {
    parsed: &'e Parsed<'e>,
    environment: &'e Environment,
    /// The elements of the macros around, outermost first.
    locals: Vec<(String, Type)>,
    mistakes: Vec<Mistake>,
    depth: usize,
}

impl Checker<'_> {
    fn expression(&mut self, it: &IdedExpr) -> Typed {
        // A margin, for nodes that stand for none in the source.
        if self.depth + 2 > MAX_DEPTH {
            let limit = MAX_DEPTH - 2;
            let message =
                format!("expected at most {limit} expressions inside each other; split it");
            return self.fail(self.parsed.span(it), message);
        }
        self.depth += 1;
        let typed = self.settle(it);
        self.depth -= 1;
        typed
    }

    fn settle(&mut self, it: &IdedExpr) -> Typed {
        match &it.expr {
            Expr::Ident(name) => self.name(it, name),
            Expr::Select(select) => self.select(it, select),
            Expr::Literal(literal) => self.literal(it, literal),
            Expr::List(list) => self.list(it, list),
            Expr::Map(map) => self.map(it, map),
            Expr::Call(call) => self.call(it, call),
            Expr::Comprehension(comprehension) => self.comprehension(it, comprehension),
            Expr::Struct(message) => {
                let name = &message.type_name;
                let text = format!("expected no message, found `{name}{{...}}`; use a map");
                self.fail(self.parsed.span(it), text)
            }
            Expr::Unspecified => self.fail(self.parsed.span(it), "expected a CEL expression"),
        }
    }

    fn mistake(&mut self, span: Span, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(span, message));
    }

    /// Notes a mistake; what comes back fits everywhere, so that it is noted once.
    fn fail(&mut self, span: Span, message: impl Into<String>) -> Typed {
        self.mistake(span, message);
        Typed { expression: Expression::Constant(Constant::Null), ty: Type::Dyn, span }
    }

    fn typed(&self, it: &IdedExpr, expression: Expression, ty: Type) -> Typed {
        Typed { expression, ty, span: self.parsed.span(it) }
    }
}
