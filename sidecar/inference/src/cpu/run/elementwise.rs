//! Functions of elements.

use kernels::Function;
use rkyv::rend::u32_le;

use super::{Fault, Operands, Shape, memory::written};
use crate::plan::{ArchivedBinary, ArchivedKind, ArchivedUnary};

const UNFIT: Fault = Fault::Plan { what: "shapes that do not fit" };
const KIND: Fault = Fault::Plan { what: "a function of another kind" };

pub(super) fn unary(
    from: &Operands<'_>,
    op: &ArchivedUnary,
    input: &u32_le,
    to: &u32_le,
    output: &mut [u8],
) -> Result<(), Fault> {
    use ArchivedUnary as Op;
    let input = input.to_native();
    let kind = from.kind(input)?;
    if kind != from.kind(to.to_native())? {
        return Err(KIND);
    }
    match (kind, op) {
        (ArchivedKind::Bool, Op::Not) => {
            map(from.numbers::<u8>(input)?, written::<u8>(output)?, |it| u8::from(it == 0))
        }
        (ArchivedKind::I64, Op::Neg) => {
            map(from.numbers::<i64>(input)?, written(output)?, i64::wrapping_neg)
        }
        (ArchivedKind::I64, Op::Abs) => {
            map(from.numbers::<i64>(input)?, written(output)?, i64::wrapping_abs)
        }
        (ArchivedKind::F32, op) => float(op, from.numbers::<f32>(input)?, written::<f32>(output)?),
        _ => Err(KIND),
    }
}

fn float(op: &ArchivedUnary, from: &[f32], to: &mut [f32]) -> Result<(), Fault> {
    use ArchivedUnary as Op;
    match op {
        Op::Abs => map(from, to, f32::abs),
        Op::Acos => map(from, to, f32::acos),
        Op::Acosh => map(from, to, f32::acosh),
        Op::Asin => map(from, to, f32::asin),
        Op::Asinh => map(from, to, f32::asinh),
        Op::Atan => map(from, to, f32::atan),
        Op::Atanh => map(from, to, f32::atanh),
        Op::Ceil => map(from, to, f32::ceil),
        Op::Cos => map(from, to, f32::cos),
        Op::Cosh => map(from, to, f32::cosh),
        Op::Erf => map(from, to, erf),
        Op::Exp => map(from, to, f32::exp),
        Op::Floor => map(from, to, f32::floor),
        Op::Gelu => map(from, to, |x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))),
        Op::GeluTanh => map(from, to, |x| {
            // sqrt(2 / pi)
            let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }),
        Op::HardSwish => map(from, to, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        Op::LeakyRelu(alpha) => {
            let alpha = alpha.to_native();
            map(from, to, |x| if x < 0.0 { x * alpha } else { x })
        }
        Op::Ln => map(from, to, f32::ln),
        Op::Neg => map(from, to, |x| -x),
        Op::Not => Err(KIND),
        Op::Pow(exponent) => {
            let exponent = exponent.to_native();
            map(from, to, |x| x.powf(exponent))
        }
        Op::Recip => map(from, to, f32::recip),
        Op::Round => map(from, to, f32::round),
        Op::RoundTiesEven => map(from, to, f32::round_ties_even),
        Op::Rsqrt => map(from, to, |x| x.sqrt().recip()),
        Op::Sigmoid => all(Function::Sigmoid, from, to),
        Op::Sign => map(from, to, |x| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x * 0.0
            }
        }),
        Op::Silu => all(Function::Silu, from, to),
        Op::Sin => map(from, to, f32::sin),
        Op::Sinh => map(from, to, f32::sinh),
        Op::Sqrt => map(from, to, f32::sqrt),
        Op::Square => map(from, to, |x| x * x),
        Op::Tan => map(from, to, f32::tan),
        Op::Tanh => all(Function::Tanh, from, to),
    }
}

/// The error function, by Abramowitz and Stegun's 7.1.26 in double precision: within 1.5e-7.
fn erf(x: f32) -> f32 {
    let x = f64::from(x);
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let polynomial = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    (x.signum() * (1.0 - polynomial * (-x * x).exp())) as f32
}

fn all(function: Function, from: &[f32], to: &mut [f32]) -> Result<(), Fault> {
    if from.len() != to.len() {
        return Err(UNFIT);
    }
    function.map(from, to);
    Ok(())
}

fn map<T: Copy>(from: &[T], to: &mut [T], function: impl Fn(T) -> T) -> Result<(), Fault> {
    if from.len() != to.len() {
        return Err(UNFIT);
    }
    to.iter_mut().zip(from).for_each(|(to, from)| *to = function(*from));
    Ok(())
}

pub(super) fn binary(
    from: &Operands<'_>,
    op: &ArchivedBinary,
    (left, right): (&u32_le, &u32_le),
    to: &u32_le,
    output: &mut [u8],
) -> Result<(), Fault> {
    let (left, right, to) = (left.to_native(), right.to_native(), to.to_native());
    let kind = from.kind(left)?;
    if kind != from.kind(right)? {
        return Err(KIND);
    }
    let shapes = Shapes { left: from.shape(left)?, right: from.shape(right)?, to: from.shape(to)? };
    let result = from.kind(to)?;
    match (kind, result) {
        (ArchivedKind::F32, ArchivedKind::F32) => {
            let (left, right) = (from.numbers::<f32>(left)?, from.numbers::<f32>(right)?);
            floats(op, left, right, written(output)?, &shapes)
        }
        (ArchivedKind::I64, ArchivedKind::I64) => {
            let (left, right) = (from.numbers::<i64>(left)?, from.numbers::<i64>(right)?);
            integers(op, left, right, written(output)?, &shapes)
        }
        (ArchivedKind::F32, ArchivedKind::Bool) => {
            let (left, right) = (from.numbers::<f32>(left)?, from.numbers::<f32>(right)?);
            comparisons(op, left, right, written(output)?, &shapes)
        }
        (ArchivedKind::I64, ArchivedKind::Bool) => {
            let (left, right) = (from.numbers::<i64>(left)?, from.numbers::<i64>(right)?);
            comparisons(op, left, right, written(output)?, &shapes)
        }
        (ArchivedKind::Bool, ArchivedKind::Bool) => {
            let (left, right) = (from.numbers::<u8>(left)?, from.numbers::<u8>(right)?);
            let output = written::<u8>(output)?;
            match op {
                ArchivedBinary::And => zip(left, right, output, &shapes, |a, b| a & b),
                ArchivedBinary::Or => zip(left, right, output, &shapes, |a, b| a | b),
                ArchivedBinary::Xor => zip(left, right, output, &shapes, |a, b| a ^ b),
                op => comparisons(op, left, right, output, &shapes),
            }
        }
        _ => Err(KIND),
    }
}

fn floats(
    op: &ArchivedBinary,
    left: &[f32],
    right: &[f32],
    to: &mut [f32],
    shapes: &Shapes,
) -> Result<(), Fault> {
    match op {
        ArchivedBinary::Add => zip(left, right, to, shapes, |a, b| a + b),
        ArchivedBinary::Sub => zip(left, right, to, shapes, |a, b| a - b),
        ArchivedBinary::Mul => zip(left, right, to, shapes, |a, b| a * b),
        ArchivedBinary::Div => zip(left, right, to, shapes, |a, b| a / b),
        ArchivedBinary::Min => zip(left, right, to, shapes, f32::min),
        ArchivedBinary::Max => zip(left, right, to, shapes, f32::max),
        ArchivedBinary::Pow => zip(left, right, to, shapes, f32::powf),
        _ => Err(KIND),
    }
}

fn integers(
    op: &ArchivedBinary,
    left: &[i64],
    right: &[i64],
    to: &mut [i64],
    shapes: &Shapes,
) -> Result<(), Fault> {
    match op {
        ArchivedBinary::Add => zip(left, right, to, shapes, i64::wrapping_add),
        ArchivedBinary::Sub => zip(left, right, to, shapes, i64::wrapping_sub),
        ArchivedBinary::Mul => zip(left, right, to, shapes, i64::wrapping_mul),
        ArchivedBinary::Div => {
            if right.contains(&0) {
                return Err(Fault::Plan { what: "a division of integers by 0" });
            }
            zip(left, right, to, shapes, i64::wrapping_div)
        }
        ArchivedBinary::Min => zip(left, right, to, shapes, i64::min),
        ArchivedBinary::Max => zip(left, right, to, shapes, i64::max),
        _ => Err(KIND),
    }
}

fn comparisons<T: Copy + PartialOrd>(
    op: &ArchivedBinary,
    left: &[T],
    right: &[T],
    to: &mut [u8],
    shapes: &Shapes,
) -> Result<(), Fault> {
    match op {
        ArchivedBinary::Equal => zip(left, right, to, shapes, |a, b| u8::from(a == b)),
        ArchivedBinary::NotEqual => zip(left, right, to, shapes, |a, b| u8::from(a != b)),
        ArchivedBinary::Less => zip(left, right, to, shapes, |a, b| u8::from(a < b)),
        ArchivedBinary::LessEqual => zip(left, right, to, shapes, |a, b| u8::from(a <= b)),
        ArchivedBinary::Greater => zip(left, right, to, shapes, |a, b| u8::from(a > b)),
        ArchivedBinary::GreaterEqual => zip(left, right, to, shapes, |a, b| u8::from(a >= b)),
        _ => Err(KIND),
    }
}

struct Shapes {
    left: Shape,
    right: Shape,
    to: Shape,
}

/// Applies `function` to each pair; a dimension of 1 is repeated.
fn zip<T: Copy, R>(
    left: &[T],
    right: &[T],
    to: &mut [R],
    shapes: &Shapes,
    function: impl Fn(T, T) -> R,
) -> Result<(), Fault> {
    if left.len() == to.len() && right.len() == to.len() {
        let pairs = left.iter().zip(right);
        to.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = function(*a, *b));
        return Ok(());
    }
    if let ([only], true) = (right, left.len() == to.len()) {
        to.iter_mut().zip(left).for_each(|(to, a)| *to = function(*a, *only));
        return Ok(());
    }
    if let ([only], true) = (left, right.len() == to.len()) {
        to.iter_mut().zip(right).for_each(|(to, b)| *to = function(*only, *b));
        return Ok(());
    }
    if left.len() == to.len() && repeats_last(&shapes.right, &shapes.to) && !right.is_empty() {
        let lines = to.chunks_exact_mut(right.len()).zip(left.chunks_exact(right.len()));
        for (to, left) in lines {
            let pairs = left.iter().zip(right);
            to.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = function(*a, *b));
        }
        return Ok(());
    }
    let (from_left, from_right) =
        (Walk::new(&shapes.left, &shapes.to)?, Walk::new(&shapes.right, &shapes.to)?);
    let Some((width, _)) = shapes.to.split_last() else { return Err(UNFIT) };
    if *width == 0 {
        return Ok(());
    }
    let rows = to.chunks_exact_mut(*width);
    for ((row, a), b) in rows.zip(from_left.rows()).zip(from_right.rows()) {
        let (a, a_is_one) = a.of(left)?;
        let (b, b_is_one) = b.of(right)?;
        match (a_is_one, b_is_one) {
            (false, false) => {
                let pairs = a.iter().zip(b);
                row.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = function(*a, *b));
            }
            (true, false) => {
                let a = *a.first().ok_or(UNFIT)?;
                row.iter_mut().zip(b).for_each(|(to, b)| *to = function(a, *b));
            }
            (false, true) => {
                let b = *b.first().ok_or(UNFIT)?;
                row.iter_mut().zip(a).for_each(|(to, a)| *to = function(*a, b));
            }
            (true, true) => {
                let (a, b) = (*a.first().ok_or(UNFIT)?, *b.first().ok_or(UNFIT)?);
                row.iter_mut().for_each(|to| *to = function(a, b));
            }
        }
    }
    Ok(())
}

/// Whether a value has the last dimensions of another shape, and is repeated along all before them.
fn repeats_last(from: &Shape, to: &Shape) -> bool {
    let first = from.iter().position(|dim| *dim != 1).unwrap_or(from.len());
    from.len() == to.len() && from.get(first..) == to.get(first..)
}

/// The rows of a value that is repeated into another shape: along each dimension, how far apart
/// its elements are, or 0.
#[derive(Clone, Copy)]
struct Walk {
    strides: Shape,
    to: Shape,
    width: usize,
}

/// One row: where it starts, and how many elements it has, 1 where one is repeated.
struct Row {
    start: usize,
    width: usize,
}

impl Row {
    fn of<'a, T>(&self, numbers: &'a [T]) -> Result<(&'a [T], bool), Fault> {
        let row = numbers.get(self.start..self.start + self.width).ok_or(UNFIT)?;
        Ok((row, self.width == 1))
    }
}

impl Walk {
    fn new(from: &Shape, to: &Shape) -> Result<Self, Fault> {
        if from.len() != to.len() {
            return Err(UNFIT);
        }
        let mut strides = Shape { numbers: [0; crate::plan::MAX_RANK], rank: to.rank };
        let mut stride = 1_usize;
        for at in (0..to.rank).rev() {
            let (Some(read), Some(wrote), Some(slot)) =
                (from.get(at), to.get(at), strides.numbers.get_mut(at))
            else {
                return Err(UNFIT);
            };
            if *read != *wrote && *read != 1 {
                return Err(UNFIT);
            }
            *slot = if *read == 1 { 0 } else { stride };
            stride = stride.saturating_mul(*read);
        }
        Ok(Self { strides, to: *to, width: from.last().copied().unwrap_or(1) })
    }

    fn rows(self) -> impl Iterator<Item = Row> {
        let outer = self.to.rank.saturating_sub(1);
        let mut index = [0_usize; crate::plan::MAX_RANK];
        let mut start = 0;
        std::iter::from_fn(move || {
            let row = Row { start, width: self.width };
            for at in (0..outer).rev() {
                let (Some(index), Some(dim), Some(stride)) =
                    (index.get_mut(at), self.to.get(at), self.strides.get(at))
                else {
                    break;
                };
                *index += 1;
                start += stride;
                if *index < *dim {
                    break;
                }
                start -= stride * *dim;
                *index = 0;
            }
            Some(row)
        })
    }
}

pub(super) fn select(
    from: &Operands<'_>,
    condition: &u32_le,
    (yes, no): (&u32_le, &u32_le),
    to: &u32_le,
    output: &mut [u8],
) -> Result<(), Fault> {
    let (condition, yes, no, to) =
        (condition.to_native(), yes.to_native(), no.to_native(), to.to_native());
    let kind = from.kind(to)?;
    if from.kind(condition)? != ArchivedKind::Bool
        || from.kind(yes)? != kind
        || from.kind(no)? != kind
    {
        return Err(KIND);
    }
    let shape = from.shape(to)?;
    let walks = [
        Walk::new(&from.shape(condition)?, &shape)?,
        Walk::new(&from.shape(yes)?, &shape)?,
        Walk::new(&from.shape(no)?, &shape)?,
    ];
    let tests = from.numbers::<u8>(condition)?;
    match kind {
        ArchivedKind::F32 => {
            choose(tests, from.numbers::<u32>(yes)?, from.numbers(no)?, written(output)?, walks)
        }
        ArchivedKind::I64 => {
            choose(tests, from.numbers::<u64>(yes)?, from.numbers(no)?, written(output)?, walks)
        }
        ArchivedKind::Bool => {
            choose(tests, from.numbers::<u8>(yes)?, from.numbers(no)?, written(output)?, walks)
        }
        _ => Err(KIND),
    }
}

fn choose<T: Copy>(
    tests: &[u8],
    yes: &[T],
    no: &[T],
    to: &mut [T],
    [of_tests, of_yes, of_no]: [Walk; 3],
) -> Result<(), Fault> {
    let width = of_tests.to.last().copied().unwrap_or(1);
    if width == 0 {
        return Ok(());
    }
    let rows = of_tests.rows().zip(of_yes.rows()).zip(of_no.rows());
    for (to, ((test, a), b)) in to.chunks_exact_mut(width).zip(rows) {
        let ((test, _), (a, _), (b, _)) = (test.of(tests)?, a.of(yes)?, b.of(no)?);
        for (at, to) in to.iter_mut().enumerate() {
            let is_true = *test.get(at).or(test.first()).ok_or(UNFIT)? != 0;
            let from = if is_true { a } else { b };
            *to = *from.get(at).or(from.first()).ok_or(UNFIT)?;
        }
    }
    Ok(())
}

pub(super) fn cast(
    from: &Operands<'_>,
    input: &u32_le,
    to: &u32_le,
    output: &mut [u8],
) -> Result<(), Fault> {
    macro_rules! cast {
        ($from:ty => $to:ty, $function:expr) => {{
            let (from, to) = (from.numbers::<$from>(input.to_native())?, written::<$to>(output)?);
            if from.len() != to.len() {
                return Err(UNFIT);
            }
            to.iter_mut().zip(from).for_each(|(to, from)| *to = $function(*from));
            Ok(())
        }};
    }
    use ArchivedKind as Is;
    match (from.kind(input.to_native())?, from.kind(to.to_native())?) {
        (Is::Bool, Is::I32) => cast!(u8 => i32, i32::from),
        (Is::Bool, Is::I64) => cast!(u8 => i64, i64::from),
        (Is::Bool, Is::F32) => cast!(u8 => f32, f32::from),
        (Is::Bool, Is::F64) => cast!(u8 => f64, f64::from),
        (Is::I32, Is::Bool) => cast!(i32 => u8, |it| u8::from(it != 0)),
        (Is::I32, Is::I64) => cast!(i32 => i64, i64::from),
        (Is::I32, Is::F32) => cast!(i32 => f32, |it| it as f32),
        (Is::I32, Is::F64) => cast!(i32 => f64, f64::from),
        (Is::I64, Is::Bool) => cast!(i64 => u8, |it| u8::from(it != 0)),
        (Is::I64, Is::I32) => cast!(i64 => i32, |it| it as i32),
        (Is::I64, Is::F32) => cast!(i64 => f32, |it| it as f32),
        (Is::I64, Is::F64) => cast!(i64 => f64, |it| it as f64),
        (Is::F32, Is::Bool) => cast!(f32 => u8, |it| u8::from(it != 0.0)),
        (Is::F32, Is::I32) => cast!(f32 => i32, |it| it as i32),
        (Is::F32, Is::I64) => cast!(f32 => i64, |it| it as i64),
        (Is::F32, Is::F64) => cast!(f32 => f64, f64::from),
        (Is::F64, Is::Bool) => cast!(f64 => u8, |it| u8::from(it != 0.0)),
        (Is::F64, Is::I32) => cast!(f64 => i32, |it| it as i32),
        (Is::F64, Is::I64) => cast!(f64 => i64, |it| it as i64),
        (Is::F64, Is::F32) => cast!(f64 => f32, |it| it as f32),
        _ => Err(KIND),
    }
}
