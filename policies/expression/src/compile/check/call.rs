//! Calls of functions.

use cel::common::ast::{CallExpr, IdedExpr};

use super::super::Type;
use super::super::mistake::did_you_mean;
use super::super::typed::{Expression, Typed};
use super::Checker;
use super::functions::{FUNCTIONS, Shape, names};
use crate::evaluate::{MAX_PATTERN_BYTES, pattern_limit};
use crate::program::{Constant, Function};
use crate::time::{NANOSECONDS, parse_duration, parse_offset, parse_timestamp};

/// What is known by name, for who misspells it or gives it other arguments.
const MACROS: [(&str, &str); 9] = [
    ("all", "x.all(element, condition)"),
    ("exists", "x.exists(element, condition)"),
    ("exists_one", "x.exists_one(element, condition)"),
    ("existsOne", "x.existsOne(element, condition)"),
    ("filter", "x.filter(element, condition)"),
    ("map", "x.map(element, value)"),
    ("has", "has(x.field)"),
    ("matches", "x.matches('pattern')"),
    ("dyn", "dyn(x)"),
];

impl Checker<'_> {
    pub(super) fn call(&mut self, it: &IdedExpr, call: &CallExpr) -> Typed {
        if let Some(typed) = self.operator(it, call) {
            return typed;
        }
        let is_method = call.target.is_some();
        let operands: Vec<&IdedExpr> =
            call.target.iter().map(|target| &**target).chain(&call.args).collect();
        match (call.func_name.trim_start_matches('.'), operands.as_slice()) {
            ("matches", [text, pattern]) => self.matches(it, text, pattern),
            ("dyn", [operand]) if !is_method => {
                let mut operand = self.expression(operand);
                operand.ty = Type::Dyn;
                operand
            }
            (name, _) => self.function(it, name, is_method, &operands),
        }
    }

    fn function(
        &mut self,
        it: &IdedExpr,
        name: &str,
        is_method: bool,
        operands: &[&IdedExpr],
    ) -> Typed {
        let of_name = || FUNCTIONS.iter().filter(|shape| shape.name == name);
        let shapes: Vec<&Shape> = of_name().filter(|shape| shape.method == is_method).collect();
        let Some(first) = shapes.first() else {
            return self.no_function(it, name, is_method, of_name().next().is_some());
        };
        let given = operands.len();
        let Some(shape) = shapes.iter().find(|shape| shape.parameters.len() == given) else {
            let arguments = |count: usize| count - usize::from(is_method);
            let counts: Vec<String> =
                shapes.iter().map(|shape| arguments(shape.parameters.len()).to_string()).collect();
            let (expected, found) = (counts.join(" or "), arguments(given));
            let noun = if expected == "1" { "argument" } else { "arguments" };
            let message = format!("expected {expected} {noun} for {name}(), found {found}");
            return self.fail(self.parsed.name_span(it, name), message);
        };
        let operands: Vec<Typed> = operands.iter().map(|it| self.expression(it)).collect();
        for (operand, takes) in operands.iter().zip(shape.parameters) {
            if !takes.iter().any(|takes| takes.fits(&operand.ty)) {
                let (expected, found) = (names(takes), &operand.ty);
                let message = format!("expected {expected} for {name}(), found {found}");
                return self.fail(operand.span, message);
            }
        }
        let operands = self.with_offset(first.function, operands);
        self.time_literal(shape.function, &operands).unwrap_or_else(|| {
            let ty = shape.gives.ty();
            self.operation(it, shape.function, operands, ty)
        })
    }

    fn no_function(
        &mut self,
        it: &IdedExpr,
        name: &str,
        is_method: bool,
        in_the_other_way: bool,
    ) -> Typed {
        let span = self.parsed.name_span(it, name);
        if let Some((_, usage)) = MACROS.iter().find(|(known, _)| *known == name) {
            return self.fail(span, format!("expected `{usage}`, found {name}() used otherwise"));
        }
        if in_the_other_way {
            let way = if is_method { format!("{name}(x)") } else { format!("x.{name}()") };
            return self.fail(span, format!("expected `{way}`, found {name}() used otherwise"));
        }
        let macros = MACROS.iter().filter(|(_, usage)| usage.starts_with("x.") == is_method);
        let known = FUNCTIONS
            .iter()
            .filter(|shape| shape.method == is_method)
            .map(|shape| shape.name)
            .chain(macros.map(|(name, _)| *name));
        let hint = did_you_mean(name, known);
        self.fail(span, format!("expected a function, found `{name}()`{hint}"))
    }

    fn matches(&mut self, it: &IdedExpr, text: &IdedExpr, pattern: &IdedExpr) -> Typed {
        let (text, pattern) = (self.expression(text), self.expression(pattern));
        if !text.ty.fits(&Type::String) {
            let message = format!("expected string for matches(), found {}", text.ty);
            return self.fail(text.span, message);
        }
        let Expression::Constant(Constant::String(source)) = pattern.expression else {
            return self.fail(pattern.span, "expected a pattern in quotes for matches()");
        };
        if source.len() > MAX_PATTERN_BYTES {
            let found = source.len();
            let message =
                format!("expected a pattern of at most {MAX_PATTERN_BYTES} bytes, found {found}");
            return self.fail(pattern.span, message);
        }
        match pattern_limit(&source) {
            Ok(limit) => {
                let text = Box::new(text);
                let expression = Expression::Matches { text, pattern: source, limit };
                self.typed(it, expression, Type::Bool)
            }
            Err(fault) => {
                self.fail(pattern.span, format!("expected a regular expression: {fault}"))
            }
        }
    }

    /// `operands` with the offset from UTC in seconds, where the second says it as text.
    fn with_offset(&mut self, function: Function, mut operands: Vec<Typed>) -> Vec<Typed> {
        let is_calendar = matches!(
            function,
            Function::FullYear
                | Function::Month
                | Function::Date
                | Function::DayOfMonth
                | Function::DayOfWeek
                | Function::DayOfYear
                | Function::Hours
                | Function::Minutes
                | Function::Seconds
                | Function::Milliseconds
        );
        if !is_calendar {
            return operands;
        }
        if let Some(zone) = operands.get_mut(1) {
            let offset = match &zone.expression {
                Expression::Constant(Constant::String(text)) => match text.as_str() {
                    "UTC" | "Z" => Some(0),
                    text => parse_offset(text),
                },
                _ => None,
            };
            zone.ty = Type::Int;
            zone.expression = Expression::Constant(Constant::Int(offset.unwrap_or(0)));
            let span = zone.span;
            if offset.is_none() {
                let message = "expected `UTC` or an offset from it in quotes, such as '+02:00'; \
                               zones by name change with law and season, and are not known here";
                self.mistake(span, message);
            }
        }
        operands
    }

    /// The moment or duration that is written out: it is read once, here.
    fn time_literal(&mut self, function: Function, operands: &[Typed]) -> Option<Typed> {
        let [operand] = operands else { return None };
        let Expression::Constant(Constant::String(text)) = &operand.expression else { return None };
        let (constant, ty) = match function {
            Function::ToTimestamp => {
                let Some(moment) = parse_timestamp(text) else {
                    let expected = "expected a time such as '2026-01-31T08:30:00Z' (RFC 3339)";
                    return Some(self.fail(operand.span, format!("{expected}, found `{text}`")));
                };
                let second = i128::from(NANOSECONDS);
                let seconds = i64::try_from(moment.div_euclid(second)).ok()?;
                let nanoseconds = u32::try_from(moment.rem_euclid(second)).ok()?;
                (Constant::Timestamp { seconds, nanoseconds }, Type::Timestamp)
            }
            Function::ToDuration => {
                let Some(length) = parse_duration(text) else {
                    let expected =
                        "expected a duration such as '1h30m' (units: h, m, s, ms, us, ns)";
                    return Some(self.fail(operand.span, format!("{expected}, found `{text}`")));
                };
                (Constant::Duration(length), Type::Duration)
            }
            _ => return None,
        };
        Some(Typed { expression: Expression::Constant(constant), ty, span: operand.span })
    }
}
