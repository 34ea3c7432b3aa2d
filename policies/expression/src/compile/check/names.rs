//! Variables, their fields, and the names of types.

use cel::common::ast::{Expr, IdedExpr, SelectExpr};

use super::super::mistake::did_you_mean;
use super::super::typed::{Expression, Span, Typed};
use super::super::{Type, Variable};
use super::Checker;
use crate::Kind;
use crate::program::Constant;

impl Checker<'_> {
    pub(super) fn name(&mut self, it: &IdedExpr, name: &str) -> Typed {
        let global = name.strip_prefix('.');
        if global.is_none()
            && let Some(slot) = self.locals.iter().rposition(|(local, _)| local == name)
        {
            let ty = self.locals.get(slot).map_or(Type::Dyn, |(_, ty)| ty.clone());
            return self.typed(it, Expression::Local(slot), ty);
        }
        let path = global.unwrap_or(name);
        self.global(it, path).unwrap_or_else(|| self.unknown(self.parsed.span(it), path))
    }

    pub(super) fn select(&mut self, it: &IdedExpr, select: &SelectExpr) -> Typed {
        if let Some(operand) = self.path(&select.operand) {
            let path = format!("{operand}.{}", select.field);
            if select.test
                && let Some((index, variable)) = self.variable(&path)
            {
                let there = Expression::Constant(Constant::Bool(true));
                let optional = variable.optional;
                let has = if optional { Expression::HasVariable(index) } else { there };
                return self.typed(it, has, Type::Bool);
            }
            if !select.test
                && let Some(typed) = self.global(it, &path)
            {
                return typed;
            }
            if self.variable(&operand).is_none() && self.is_namespace(&operand) {
                return self.unknown(self.parsed.field_span(it), &path);
            }
        }
        let operand = self.expression(&select.operand);
        let ty = match &operand.ty {
            Type::Dyn => Type::Dyn,
            Type::Map(key, value) if key.fits(&Type::String) => (**value).clone(),
            other => {
                let field = &select.field;
                let message =
                    format!("expected a map to take the field `{field}` of, found {other}");
                return self.fail(self.parsed.field_span(it), message);
            }
        };
        let (operand, field) = (Box::new(operand), select.field.clone());
        if select.test {
            return self.typed(it, Expression::Has { operand, field }, Type::Bool);
        }
        self.typed(it, Expression::Select { operand, field }, ty)
    }

    /// The variable, or the type, that `path` names; a mistake, where it only begins the paths of some.
    fn global(&mut self, it: &IdedExpr, path: &str) -> Option<Typed> {
        if let Some((index, variable)) = self.variable(path) {
            let ty = variable.ty.clone();
            return Some(self.typed(it, Expression::Variable(index), ty));
        }
        if self.is_namespace(path) {
            let fields = self.fields(path).join(", ");
            let message =
                format!("expected a field of `{path}`, found no field; there is: {fields}");
            return Some(self.fail(self.parsed.span(it), message));
        }
        let index = Kind::ALL.iter().position(|kind| kind.name() == path)?;
        let constant = Constant::Type(u8::try_from(index).ok()?);
        Some(self.typed(it, Expression::Constant(constant), Type::Type))
    }

    fn unknown(&mut self, span: Span, path: &str) -> Typed {
        let (message, hint) = match path.rsplit_once('.') {
            Some((parent, field)) => (
                format!("expected a field of `{parent}`, found `{field}`"),
                did_you_mean(field, self.fields(parent)),
            ),
            None => {
                let locals = self.locals.iter().map(|(name, _)| name.as_str());
                let known = self.fields("").into_iter().chain(locals);
                (format!("expected a variable, found `{path}`"), did_you_mean(path, known))
            }
        };
        self.fail(span, message + &hint)
    }

    /// The path that names and points spell, where it does not begin with a macro's element.
    fn path(&self, it: &IdedExpr) -> Option<String> {
        match &it.expr {
            Expr::Ident(name) => match name.strip_prefix('.') {
                Some(global) => Some(global.to_owned()),
                None if self.locals.iter().any(|(local, _)| local == name) => None,
                None => Some(name.clone()),
            },
            Expr::Select(select) if !select.test => {
                Some(format!("{}.{}", self.path(&select.operand)?, select.field))
            }
            _ => None,
        }
    }

    fn variable(&self, path: &str) -> Option<(usize, &Variable)> {
        let variables = self.environment.variables().iter().enumerate();
        variables.into_iter().find(|(_, variable)| variable.path == path)
    }

    fn is_namespace(&self, path: &str) -> bool {
        !self.fields(path).is_empty()
    }

    /// The names that follow `path` in the paths of variables; all first names for an empty one.
    fn fields(&self, path: &str) -> Vec<&str> {
        let mut fields: Vec<&str> = Vec::new();
        for variable in self.environment.variables() {
            let rest = match path {
                "" => Some(variable.path.as_str()),
                _ => variable.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')),
            };
            if let Some(rest) = rest {
                let field = rest.split_once('.').map_or(rest, |(field, _)| field);
                if !fields.contains(&field) {
                    fields.push(field);
                }
            }
        }
        fields
    }
}
