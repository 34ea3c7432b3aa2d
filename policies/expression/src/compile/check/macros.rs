//! The macros, which the parser hands over as the loops that cel-spec writes for them.

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue};

use super::super::Type;
use super::super::typed::{Expression, Typed};
use super::Checker;
use crate::program::Comprehension;

/// A macro, as it was written.
enum Macro<'e> {
    /// With its condition.
    Quantifier(Comprehension, &'e IdedExpr),
    /// With its condition, if any, and its value.
    Map(Option<&'e IdedExpr>, &'e IdedExpr),
}

impl Checker<'_> {
    pub(super) fn comprehension(&mut self, it: &IdedExpr, loop_: &ComprehensionExpr) -> Typed {
        let range = Box::new(self.expression(&loop_.iter_range));
        let element = match &range.ty {
            Type::List(element) => (**element).clone(),
            Type::Map(key, _) => (**key).clone(),
            Type::Dyn => Type::Dyn,
            other => {
                let message = format!("expected a list or a map for a macro, found {other}");
                return self.fail(range.span, message);
            }
        };
        let (Some(found), None) = (recognize(loop_), &loop_.iter_var2) else {
            return self
                .fail(self.parsed.span(it), "expected all, exists, exists_one, filter or map");
        };
        self.locals.push((loop_.iter_var.clone(), element.clone()));
        let typed = match found {
            Macro::Quantifier(comprehension, condition) => {
                let body = Box::new(self.condition(condition));
                let ty = match comprehension {
                    Comprehension::Filter => Type::list(element),
                    _ => Type::Bool,
                };
                self.typed(it, Expression::Comprehension { comprehension, range, body }, ty)
            }
            Macro::Map(condition, value) => {
                let condition = condition.map(|condition| Box::new(self.condition(condition)));
                let body = Box::new(self.expression(value));
                let ty = Type::list(body.ty.clone());
                let comprehension = Comprehension::Map;
                let expression = match condition {
                    Some(condition) => Expression::FilteredMap { range, condition, body },
                    None => Expression::Comprehension { comprehension, range, body },
                };
                self.typed(it, expression, ty)
            }
        };
        self.locals.pop();
        typed
    }

    fn condition(&mut self, condition: &IdedExpr) -> Typed {
        let typed = self.expression(condition);
        if typed.ty.fits(&Type::Bool) {
            return typed;
        }
        let message = format!("expected a bool for the condition of a macro, found {}", typed.ty);
        self.fail(typed.span, message)
    }
}

fn recognize(loop_: &ComprehensionExpr) -> Option<Macro<'_>> {
    let Expr::Call(step) = &loop_.loop_step.expr else { return None };
    match (&loop_.accu_init.expr, step.func_name.as_str(), step.args.as_slice()) {
        (Expr::Literal(LiteralValue::Boolean(_)), "_&&_", [_, condition]) => {
            Some(Macro::Quantifier(Comprehension::All, condition))
        }
        (Expr::Literal(LiteralValue::Boolean(_)), "_||_", [_, condition]) => {
            Some(Macro::Quantifier(Comprehension::Exists, condition))
        }
        (Expr::Literal(LiteralValue::Int(_)), "_?_:_", [condition, ..]) => {
            Some(Macro::Quantifier(Comprehension::ExistsOne, condition))
        }
        (Expr::List(_), "_+_", [_, value]) => Some(Macro::Map(None, only_element(value)?)),
        (Expr::List(_), "_?_:_", [condition, push, _]) => {
            let Expr::Call(push) = &push.expr else { return None };
            let value = only_element(push.args.get(1)?)?;
            match &value.expr {
                Expr::Ident(name) if *name == loop_.iter_var => {
                    Some(Macro::Quantifier(Comprehension::Filter, condition))
                }
                _ => Some(Macro::Map(Some(condition), value)),
            }
        }
        _ => None,
    }
}

fn only_element(list: &IdedExpr) -> Option<&IdedExpr> {
    match &list.expr {
        Expr::List(list) => match list.elements.as_slice() {
            [element] => Some(element),
            _ => None,
        },
        _ => None,
    }
}
