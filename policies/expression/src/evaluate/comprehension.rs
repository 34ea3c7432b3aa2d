//! The macros over the elements of a list or the keys of a map.

use std::rc::Rc;

use super::{Evaluated, Evaluator, boolean, copied_bytes, wrong_type};
use crate::budget::NODE_UNITS;
use crate::program::ArchivedComprehension as Macro;
use crate::{EvaluationError, List, Map, Value};

impl<'a> Evaluator<'a, '_> {
    pub(super) fn comprehension(
        &mut self,
        comprehension: Macro,
        range: u32,
        body: u32,
        at: u32,
    ) -> Evaluated<Value<'a>> {
        match comprehension {
            Macro::All => self.quantify(range, body, at, false),
            Macro::Exists => self.quantify(range, body, at, true),
            Macro::ExistsOne => {
                let mut count = 0_u64;
                self.each(range, at, |it, element| {
                    let (_, value) = it.within(element, body, at)?;
                    count += u64::from(boolean(&value, "exists_one()")?);
                    Ok(true)
                })?;
                Ok(Value::Bool(count == 1))
            }
            Macro::Filter => {
                let mut kept = Vec::new();
                self.each(range, at, |it, element| {
                    let (element, value) = it.within(element, body, at)?;
                    if boolean(&value, "filter()")? {
                        kept.push(element);
                    }
                    Ok(true)
                })?;
                Ok(Value::List(List::Made(Rc::new(kept))))
            }
            Macro::Map => {
                let mut values = Vec::new();
                self.each(range, at, |it, element| {
                    values.push(it.within(element, body, at)?.1);
                    Ok(true)
                })?;
                Ok(Value::List(List::Made(Rc::new(values))))
            }
        }
    }

    pub(super) fn filtered_map(
        &mut self,
        range: u32,
        condition: u32,
        body: u32,
        at: u32,
    ) -> Evaluated<Value<'a>> {
        let mut values = Vec::new();
        self.each(range, at, |it, element| {
            let (element, chosen) = it.within(element, condition, at)?;
            if boolean(&chosen, "map()")? {
                values.push(it.within(element, body, at)?.1);
            }
            Ok(true)
        })?;
        Ok(Value::List(List::Made(Rc::new(values))))
    }

    /// `all()`, which one `false` decides, and `exists()`, which one `true` decides: the bodies
    /// joined by `&&` or `||`, an error of one absorbed by another as there.
    fn quantify(&mut self, range: u32, body: u32, at: u32, decisive: bool) -> Evaluated<Value<'a>> {
        let operation = if decisive { "exists()" } else { "all()" };
        let mut result: Evaluated<bool> = Ok(!decisive);
        self.each(range, at, |it, element| {
            match it.within(element, body, at).and_then(|(_, it)| boolean(&it, operation)) {
                Ok(value) if value == decisive => {
                    result = Ok(decisive);
                    return Ok(false);
                }
                Err(error) if error.ends_all() => return Err(error),
                Err(error) if result.is_ok() => result = Err(error),
                _ => {}
            }
            Ok(true)
        })?;
        result.map(Value::Bool)
    }

    /// Calls `body` with each element of a list, or key of a map, until it gives `false`.
    fn each(
        &mut self,
        range: u32,
        at: u32,
        mut body: impl FnMut(&mut Self, Value<'a>) -> Evaluated<bool>,
    ) -> Evaluated<()> {
        let range = self.visit(range, at)?;
        let mut step = |it: &mut Self, element: Value<'a>| {
            it.budget.charge(NODE_UNITS + copied_bytes(&element))?;
            body(it, element)
        };
        match range {
            Value::List(list) => {
                for element in (0..list.len()).map_while(|at| list.get(at)) {
                    if !step(self, element)? {
                        break;
                    }
                }
            }
            Value::Map(Map::Lent(owner)) => {
                for key in owner.keys() {
                    if !step(self, Value::from(key))? {
                        break;
                    }
                }
            }
            Value::Map(Map::Made(entries)) => {
                for (key, _) in entries.iter() {
                    if !step(self, key.clone())? {
                        break;
                    }
                }
            }
            other => return Err(wrong_type("a macro", "a list or a map", &other)),
        }
        Ok(())
    }

    /// The value of `body` with `element` as its innermost local, and the element again.
    fn within(
        &mut self,
        element: Value<'a>,
        body: u32,
        at: u32,
    ) -> Evaluated<(Value<'a>, Value<'a>)> {
        self.locals.push(element);
        let value = self.visit(body, at);
        let element = self.locals.pop();
        let fault = EvaluationError::Malformed { fault: "a macro lost its element" };
        Ok((element.ok_or(fault)?, value?))
    }
}
