//! Operators: which types they take, and what they give.

use cel::common::ast::{CallExpr, IdedExpr};

use super::super::Type;
use super::super::typed::{Expression, Typed};
use super::Checker;
use crate::program::Function;

/// What an operator gives for two types, each of which may be dynamic.
const ARITHMETIC: [(&[Function], Type, Type, Type); 8] = {
    use Function::{Add, Divide, Multiply, Remainder, Subtract};
    [
        (&[Add, Subtract, Multiply, Divide, Remainder], Type::Int, Type::Int, Type::Int),
        (&[Add, Subtract, Multiply, Divide, Remainder], Type::Uint, Type::Uint, Type::Uint),
        (&[Add, Subtract, Multiply, Divide], Type::Double, Type::Double, Type::Double),
        (&[Add, Subtract], Type::Duration, Type::Duration, Type::Duration),
        (&[Add, Subtract], Type::Timestamp, Type::Duration, Type::Timestamp),
        (&[Add], Type::Duration, Type::Timestamp, Type::Timestamp),
        (&[Subtract], Type::Timestamp, Type::Timestamp, Type::Duration),
        (&[Add], Type::String, Type::String, Type::String),
    ]
};

impl Checker<'_> {
    /// The expression, where `call` is of an operator.
    pub(super) fn operator(&mut self, it: &IdedExpr, call: &CallExpr) -> Option<Typed> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            ("_&&_" | "_||_", [left, right]) => {
                let sides = Box::new([self.truth(left, call), self.truth(right, call)]);
                let is_and = call.func_name == "_&&_";
                let expression =
                    if is_and { Expression::And(sides) } else { Expression::Or(sides) };
                Some(self.typed(it, expression, Type::Bool))
            }
            ("!_", [operand]) => {
                let operand = self.truth(operand, call);
                Some(self.operation(it, Function::Not, vec![operand], Type::Bool))
            }
            ("_?_:_", [condition, then, otherwise]) => {
                Some(self.conditional(it, call, [condition, then, otherwise]))
            }
            ("-_", [operand]) => {
                let operand = self.expression(operand);
                let ty = operand.ty.clone();
                if !matches!(ty, Type::Int | Type::Double | Type::Dyn) {
                    let message = format!("expected an int or a double after `-`, found {ty}");
                    return Some(self.fail(operand.span, message));
                }
                Some(self.operation(it, Function::Negate, vec![operand], ty))
            }
            (name, [left, right]) => {
                let function = match name {
                    "_+_" => Function::Add,
                    "_-_" => Function::Subtract,
                    "_*_" => Function::Multiply,
                    "_/_" => Function::Divide,
                    "_%_" => Function::Remainder,
                    "_==_" => Function::Equal,
                    "_!=_" => Function::NotEqual,
                    "_<_" => Function::Less,
                    "_<=_" => Function::LessOrEqual,
                    "_>_" => Function::Greater,
                    "_>=_" => Function::GreaterOrEqual,
                    "@in" => Function::In,
                    "_[_]" => Function::Index,
                    _ => return None,
                };
                let (left, right) = (self.expression(left), self.expression(right));
                Some(self.binary(it, function, left, right))
            }
            _ => None,
        }
    }

    pub(super) fn operation(
        &mut self,
        it: &IdedExpr,
        function: Function,
        operands: Vec<Typed>,
        ty: Type,
    ) -> Typed {
        self.typed(it, Expression::Call { function, operands }, ty)
    }

    fn binary(&mut self, it: &IdedExpr, function: Function, left: Typed, right: Typed) -> Typed {
        let given = match function {
            Function::Equal | Function::NotEqual => equality(&left.ty, &right.ty),
            Function::Less
            | Function::LessOrEqual
            | Function::Greater
            | Function::GreaterOrEqual => order(&left.ty, &right.ty),
            Function::In => membership(&left.ty, &right.ty),
            Function::Index => element(&left.ty, &right.ty),
            _ => arithmetic(function, &left.ty, &right.ty),
        };
        match given {
            Ok(ty) => self.operation(it, function, vec![left, right], ty),
            Err(expected) => {
                let (a, b, name) = (&left.ty, &right.ty, function.name());
                let message = format!("expected {expected} for {name}, found {a} and {b}");
                let hint = if a.is_numeric() && b.is_numeric() && a != b {
                    format!("; convert one of them: {a}(...) or {b}(...)")
                } else {
                    String::new()
                };
                self.fail(self.parsed.span(it), message + &hint)
            }
        }
    }

    fn conditional(&mut self, it: &IdedExpr, call: &CallExpr, parts: [&IdedExpr; 3]) -> Typed {
        let [condition, then, otherwise] = parts;
        let condition = self.truth(condition, call);
        let (then, otherwise) = (self.expression(then), self.expression(otherwise));
        let (a, b) = (&then.ty, &otherwise.ty);
        if !a.fits(b) {
            let message = format!("expected one type on both sides of `:`, found {a} and {b}");
            return self.fail(self.parsed.span(it), message);
        }
        let ty = a.clone().join(b.clone());
        let parts = Box::new([condition, then, otherwise]);
        self.typed(it, Expression::Conditional(parts), ty)
    }

    /// An operand of a logical operator.
    fn truth(&mut self, operand: &IdedExpr, call: &CallExpr) -> Typed {
        let typed = self.expression(operand);
        if typed.ty.fits(&Type::Bool) {
            return typed;
        }
        let name = match call.func_name.as_str() {
            "_&&_" => "`&&`",
            "_||_" => "`||`",
            "!_" => "`!`",
            _ => "the condition of `?:`",
        };
        let message = format!("expected a bool for {name}, found {}", typed.ty);
        self.fail(typed.span, message)
    }
}

type Given = Result<Type, &'static str>;

fn equality(a: &Type, b: &Type) -> Given {
    // Text that may be missing is compared with null in other languages; here, has() tells.
    if a.fits(b) { Ok(Type::Bool) } else { Err("two values of one type") }
}

fn order(a: &Type, b: &Type) -> Given {
    let ordered =
        |ty: &Type| !matches!(ty, Type::Null | Type::Type | Type::List(_) | Type::Map(..));
    if ordered(a) && ordered(b) && (a.fits(b) || (a.is_numeric() && b.is_numeric())) {
        return Ok(Type::Bool);
    }
    Err("two values of one type that has an order")
}

fn membership(value: &Type, within: &Type) -> Given {
    match within {
        Type::Dyn => Ok(Type::Bool),
        Type::List(element) | Type::Map(element, _) if value.fits(element) => Ok(Type::Bool),
        Type::List(_) => Err("an element of the list's type"),
        Type::Map(..) => Err("a key of the map's type"),
        _ => Err("a list or a map on the right"),
    }
}

fn element(container: &Type, key: &Type) -> Given {
    let is_index = matches!(key, Type::Int | Type::Uint | Type::Dyn);
    match container {
        Type::List(element) if is_index => Ok((**element).clone()),
        Type::List(_) => Err("an int for the index of a list"),
        Type::Map(of, value) if key.fits(of) => Ok((**value).clone()),
        Type::Map(..) => Err("a key of the map's type"),
        Type::Dyn if is_index || matches!(key, Type::String | Type::Bool | Type::Double) => {
            Ok(Type::Dyn)
        }
        Type::Dyn => Err("an index or a key"),
        _ => Err("a list or a map"),
    }
}

fn arithmetic(function: Function, a: &Type, b: &Type) -> Given {
    match (function, a, b) {
        (Function::Add, Type::List(_), Type::List(_)) if a.fits(b) => {
            return Ok(a.clone().join(b.clone()));
        }
        (Function::Add, Type::List(_), Type::Dyn) | (Function::Add, Type::Dyn, Type::List(_)) => {
            return Ok(Type::list(Type::Dyn));
        }
        (Function::Add, Type::Bytes, Type::Bytes | Type::Dyn)
        | (Function::Add, Type::Dyn, Type::Bytes) => return Ok(Type::Bytes),
        (_, Type::Dyn, Type::Dyn) => return Ok(Type::Dyn),
        _ => {}
    }
    let fitting = ARITHMETIC
        .iter()
        .filter(|(functions, left, right, _)| {
            functions.contains(&function) && left.fits(a) && right.fits(b)
        })
        .map(|(_, _, _, given)| given.clone());
    fitting.reduce(|a, b| if a == b { a } else { Type::Dyn }).ok_or(match function {
        Function::Add => "two numbers, strings, lists or bytes, or a time and a duration,",
        Function::Subtract => "two numbers, or a time and a time or duration,",
        Function::Remainder => "two ints or two uints",
        _ => "two numbers of one type",
    })
}
