//! What each function of elements is in WGSL.

use inference::plan::{ArchivedBinary, ArchivedPlan, ArchivedStep, ArchivedUnary};

use crate::{Unsupported, operand::Kind, support};

/// A function: see [`super::Op`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expression {
    pub(super) text: &'static str,
    pub(super) arguments: Vec<u32>,
    pub(super) scalar: Option<f32>,
    pub(super) result: Kind,
}

/// What a step of elements computes.
///
/// # Errors
/// [`Unsupported`] for kinds that it is not computed of.
pub(super) fn of_step(plan: &ArchivedPlan, step: &ArchivedStep) -> Result<Expression, Unsupported> {
    let (inputs, output) = step.operands();
    let arguments: Vec<u32> = inputs.collect();
    let kind = |value: u32| {
        let none = Unsupported::new("it refers to a value that there is not");
        Kind::of(plan.value(value).ok_or(none)?.kind)
    };
    let kinds = arguments.iter().map(|it| kind(*it)).collect::<Result<Vec<_>, _>>()?;
    let (first, result) = (*kinds.first().unwrap_or(&Kind::F32), kind(output)?);
    let (text, scalar) = match step {
        ArchivedStep::Unary { op, .. } if first == result => unary(op, first),
        ArchivedStep::Binary { op, .. } if kinds.iter().all(|it| *it == first) => {
            (binary(op, first, result), None)
        }
        ArchivedStep::Select { .. } if kinds == [Kind::Bool, result, result] => {
            (Some(select(result)), None)
        }
        ArchivedStep::Cast { .. } => (cast(first, result), None),
        _ => (None, None),
    };
    let Some(text) = text else {
        let name = support::name(step);
        return Err(Unsupported::new(format!("{name} of {first:?} to {result:?} has no kernel")));
    };
    Ok(Expression { text, arguments, scalar, result })
}

fn unary(op: &ArchivedUnary, kind: Kind) -> (Option<&'static str>, Option<f32>) {
    use ArchivedUnary as Is;
    let text = match (kind, op) {
        (Kind::Bool, Is::Not) => "!$0",
        (Kind::I64, Is::Neg) => "i64_neg($0)",
        (Kind::I64, Is::Abs) => "i64_abs($0)",
        (Kind::F32, Is::LeakyRelu(slope)) => {
            return (Some("f_leaky_relu($0, $s)"), Some(slope.to_native()));
        }
        (Kind::F32, Is::Pow(exponent)) => {
            let exponent = exponent.to_native();
            // As exact as they are frequent.
            return match exponent {
                1.0 => (Some("$0"), None),
                2.0 => (Some("f_square($0)"), None),
                3.0 => (Some("f_cube($0)"), None),
                -1.0 => (Some("f_recip($0)"), None),
                _ => (Some("f_pow($0, $s)"), Some(exponent)),
            };
        }
        (Kind::F32, op) => return (float(op), None),
        _ => return (None, None),
    };
    (Some(text), None)
}

const fn float(op: &ArchivedUnary) -> Option<&'static str> {
    use ArchivedUnary as Is;
    Some(match op {
        Is::Abs => "f_abs($0)",
        Is::Acos => "f_acos($0)",
        Is::Acosh => "f_acosh($0)",
        Is::Asin => "f_asin($0)",
        Is::Asinh => "f_asinh($0)",
        Is::Atan => "f_atan($0)",
        Is::Atanh => "f_atanh($0)",
        Is::Ceil => "f_ceil($0)",
        Is::Cos => "f_cos($0)",
        Is::Cosh => "f_cosh($0)",
        Is::Erf => "f_erf($0)",
        Is::Exp => "f_exp($0)",
        Is::Floor => "f_floor($0)",
        Is::Gelu => "f_gelu($0)",
        Is::GeluTanh => "f_gelu_tanh($0)",
        Is::HardSwish => "f_hard_swish($0)",
        Is::Ln => "f_ln($0)",
        Is::Neg => "f_neg($0)",
        Is::Recip => "f_recip($0)",
        Is::Round => "f_round($0)",
        Is::RoundTiesEven => "f_round_ties_even($0)",
        Is::Rsqrt => "f_rsqrt($0)",
        Is::Sigmoid => "f_sigmoid($0)",
        Is::Sign => "f_sign($0)",
        Is::Silu => "f_silu($0)",
        Is::Sin => "f_sin($0)",
        Is::Sinh => "f_sinh($0)",
        Is::Sqrt => "f_sqrt($0)",
        Is::Square => "f_square($0)",
        Is::Tan => "f_tan($0)",
        Is::Tanh => "f_tanh($0)",
        Is::LeakyRelu(_) | Is::Not | Is::Pow(_) => return None,
    })
}

const fn binary(op: &ArchivedBinary, kind: Kind, result: Kind) -> Option<&'static str> {
    use ArchivedBinary as Is;
    Some(match (kind, result, op) {
        (Kind::F32, Kind::F32, Is::Add) => "$0 + $1",
        (Kind::F32, Kind::F32, Is::Sub) => "$0 - $1",
        (Kind::F32, Kind::F32, Is::Mul) => "$0 * $1",
        (Kind::F32, Kind::F32, Is::Div) => "$0 / $1",
        (Kind::F32, Kind::F32, Is::Min) => "f_min($0, $1)",
        (Kind::F32, Kind::F32, Is::Max) => "f_max($0, $1)",
        (Kind::F32, Kind::F32, Is::Pow) => "f_pow($0, $1)",
        (Kind::F32, Kind::Bool, Is::Equal) => "f_is_equal($0, $1)",
        (Kind::F32, Kind::Bool, Is::NotEqual) => "!f_is_equal($0, $1)",
        (Kind::F32, Kind::Bool, Is::Less) => "f_is_less($0, $1)",
        (Kind::F32, Kind::Bool, Is::LessEqual) => "f_is_less_equal($0, $1)",
        (Kind::F32, Kind::Bool, Is::Greater) => "f_is_less($1, $0)",
        (Kind::F32, Kind::Bool, Is::GreaterEqual) => "f_is_less_equal($1, $0)",
        (Kind::I64, Kind::I64, Is::Add) => "i64_add($0, $1)",
        (Kind::I64, Kind::I64, Is::Sub) => "i64_sub($0, $1)",
        (Kind::I64, Kind::I64, Is::Mul) => "i64_mul($0, $1)",
        (Kind::I64, Kind::I64, Is::Min) => "i64_min($0, $1)",
        (Kind::I64, Kind::I64, Is::Max) => "i64_max($0, $1)",
        (Kind::I64, Kind::Bool, Is::Equal) => "i64_is_equal($0, $1)",
        (Kind::I64, Kind::Bool, Is::NotEqual) => "!i64_is_equal($0, $1)",
        (Kind::I64, Kind::Bool, Is::Less) => "i64_is_less($0, $1)",
        (Kind::I64, Kind::Bool, Is::LessEqual) => "!i64_is_less($1, $0)",
        (Kind::I64, Kind::Bool, Is::Greater) => "i64_is_less($1, $0)",
        (Kind::I64, Kind::Bool, Is::GreaterEqual) => "!i64_is_less($0, $1)",
        (Kind::Bool, Kind::Bool, Is::And) => "$0 && $1",
        (Kind::Bool, Kind::Bool, Is::Or) => "$0 || $1",
        (Kind::Bool, Kind::Bool, Is::Xor | Is::NotEqual) => "$0 != $1",
        (Kind::Bool, Kind::Bool, Is::Equal) => "$0 == $1",
        (Kind::Bool, Kind::Bool, Is::Less) => "!$0 && $1",
        (Kind::Bool, Kind::Bool, Is::LessEqual) => "!$0 || $1",
        (Kind::Bool, Kind::Bool, Is::Greater) => "$0 && !$1",
        (Kind::Bool, Kind::Bool, Is::GreaterEqual) => "$0 || !$1",
        _ => return None,
    })
}

const fn select(kind: Kind) -> &'static str {
    match kind {
        Kind::I64 => "select($2, $1, vec2<bool>($0))",
        _ => "select($2, $1, $0)",
    }
}

const fn cast(from: Kind, to: Kind) -> Option<&'static str> {
    Some(match (from, to) {
        (Kind::Bool, Kind::I32) => "select(0, 1, $0)",
        (Kind::Bool, Kind::I64) => "vec2<u32>(select(0u, 1u, $0), 0u)",
        (Kind::Bool, Kind::F32) => "select(0.0, 1.0, $0)",
        (Kind::I32, Kind::Bool) => "$0 != 0",
        (Kind::I32, Kind::I64) => "i32_to_i64($0)",
        (Kind::I32, Kind::F32) => "f32($0)",
        (Kind::I64, Kind::Bool) => "($0.x | $0.y) != 0u",
        (Kind::I64, Kind::I32) => "bitcast<i32>($0.x)",
        (Kind::I64, Kind::F32) => "i64_to_f($0)",
        (Kind::F32, Kind::Bool) => "f_to_bool($0)",
        (Kind::F32, Kind::I32) => "f_to_i32($0)",
        (Kind::F32, Kind::I64) => "f_to_i64($0)",
        _ => return None,
    })
}
