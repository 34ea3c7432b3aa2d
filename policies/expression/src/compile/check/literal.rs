//! Literals, lists and maps.

use cel::common::ast::{EntryExpr, IdedExpr, ListExpr, LiteralValue, MapExpr};

use super::super::Type;
use super::super::typed::{Expression, Typed};
use super::Checker;
use crate::program::Constant;

impl Checker<'_> {
    pub(super) fn literal(&mut self, it: &IdedExpr, literal: &LiteralValue) -> Typed {
        let (constant, ty) = match literal {
            LiteralValue::Null => (Constant::Null, Type::Null),
            LiteralValue::Boolean(value) => (Constant::Bool(**value), Type::Bool),
            LiteralValue::Int(value) => (Constant::Int(**value), Type::Int),
            LiteralValue::UInt(value) => (Constant::Uint(**value), Type::Uint),
            LiteralValue::Double(value) => (Constant::Double(value.to_bits()), Type::Double),
            LiteralValue::String(text) => (Constant::String(text.inner().to_owned()), Type::String),
            LiteralValue::Bytes(bytes) => (Constant::Bytes(bytes.inner().to_vec()), Type::Bytes),
        };
        self.typed(it, Expression::Constant(constant), ty)
    }

    pub(super) fn list(&mut self, it: &IdedExpr, list: &ListExpr) -> Typed {
        let elements: Vec<Typed> = list.elements.iter().map(|it| self.expression(it)).collect();
        let ty = Type::list(common(elements.iter().map(|it| &it.ty)));
        let constants = elements.iter().map(|element| match &element.expression {
            Expression::Constant(constant) => Some(constant.clone()),
            _ => None,
        });
        match constants.collect::<Option<Vec<Constant>>>() {
            Some(constants) => self.typed(it, Expression::ConstantList(constants), ty),
            None => self.typed(it, Expression::List(elements), ty),
        }
    }

    pub(super) fn map(&mut self, it: &IdedExpr, map: &MapExpr) -> Typed {
        let mut parts = Vec::with_capacity(map.entries.len() * 2);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return self.fail(self.parsed.span(it), "expected keys and values");
            };
            let key = self.expression(&entry.key);
            if !matches!(key.ty, Type::Bool | Type::Int | Type::Uint | Type::String | Type::Dyn) {
                let found = &key.ty;
                let message =
                    format!("expected a key of type bool, int, uint or string, found {found}");
                self.mistake(key.span, message);
            }
            self.repeated_key(&key, &parts);
            parts.push(key);
            parts.push(self.expression(&entry.value));
        }
        let key = common(parts.iter().step_by(2).map(|it| &it.ty));
        let value = common(parts.iter().skip(1).step_by(2).map(|it| &it.ty));
        self.typed(it, Expression::Map(parts), Type::Map(Box::new(key), Box::new(value)))
    }

    fn repeated_key(&mut self, key: &Typed, before: &[Typed]) {
        let Expression::Constant(constant) = &key.expression else { return };
        let same =
            |it: &Typed| matches!(&it.expression, Expression::Constant(it) if it == constant);
        if before.iter().step_by(2).any(same) {
            self.mistake(key.span, "expected each key once, found this one twice");
        }
    }
}

/// The type of elements of these types.
fn common<'t>(mut types: impl Iterator<Item = &'t Type>) -> Type {
    let Some(first) = types.next() else { return Type::Dyn };
    types.fold(first.clone(), |all, ty| if all.fits(ty) { all.join(ty.clone()) } else { Type::Dyn })
}
