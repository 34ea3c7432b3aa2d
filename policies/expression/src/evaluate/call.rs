//! Functions and operators that evaluate all of their operands.

use super::{Evaluated, Evaluator};
use crate::program::Function as F;
use crate::{EvaluationError, Value};

impl<'a> Evaluator<'a, '_> {
    pub(super) fn call(
        &mut self,
        function: F,
        first: u32,
        count: u32,
        at: u32,
    ) -> Evaluated<Value<'a>> {
        let operands = self.operands(first.into(), count.into())?;
        match *operands {
            [a] => {
                let a = self.visit(a.to_native(), at)?;
                self.unary(function, a)
            }
            [a, b] => {
                let a = self.visit(a.to_native(), at)?;
                let b = self.visit(b.to_native(), at)?;
                self.binary(function, a, b)
            }
            [a, b, c] => {
                let a = self.visit(a.to_native(), at)?;
                let b = self.visit(b.to_native(), at)?;
                let c = self.visit(c.to_native(), at)?;
                match function {
                    F::Substring => self.substring(a, &b, Some(&c)),
                    _ => Err(OTHER_COUNT),
                }
            }
            _ => Err(OTHER_COUNT),
        }
    }

    fn unary(&mut self, function: F, a: Value<'a>) -> Evaluated<Value<'a>> {
        match function {
            F::Not => Ok(Value::Bool(!super::boolean(&a, "`!`")?)),
            F::Negate => Self::negate(&a),
            F::Size => self.size(&a),
            F::LowerAscii | F::UpperAscii => self.change_case(function, a),
            F::Trim => self.trim(a),
            F::Join => self.join(&a, &Value::from("")),
            F::TypeOf => Ok(Value::Type(a.kind())),
            F::ToBool | F::ToInt | F::ToUint | F::ToDouble => self.scalar_of(function, &a),
            F::ToString => self.text_of(a),
            F::ToBytes => self.bytes_of(a),
            F::ToTimestamp | F::ToDuration => self.time_of(function, &a),
            _ => Self::calendar(function, &a, 0),
        }
    }

    fn binary(&mut self, function: F, a: Value<'a>, b: Value<'a>) -> Evaluated<Value<'a>> {
        match function {
            F::Add => self.add(a, b),
            F::Subtract | F::Multiply | F::Divide | F::Remainder => {
                Self::arithmetic(function, &a, &b)
            }
            F::Equal => Ok(Value::Bool(self.equal(&a, &b)?)),
            F::NotEqual => Ok(Value::Bool(!self.equal(&a, &b)?)),
            F::Less | F::LessOrEqual | F::Greater | F::GreaterOrEqual => {
                self.ordered(function, &a, &b)
            }
            F::In => self.contained(&a, &b),
            F::Index => self.index(&a, &b),
            F::Contains | F::StartsWith | F::EndsWith | F::IndexOf => self.search(function, &a, &b),
            F::Split => self.split(a, &b),
            F::Join => self.join(&a, &b),
            F::Substring => self.substring(a, &b, None),
            _ => match b {
                // The offset from UTC in seconds, which the compiler reads from its text.
                Value::Int(offset @ -86_400..=86_400) => Self::calendar(function, &a, offset),
                _ => Err(OTHER_COUNT),
            },
        }
    }
}

const OTHER_COUNT: EvaluationError =
    EvaluationError::Malformed { fault: "a function has operands that it does not take" };
