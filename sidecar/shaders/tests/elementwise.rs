//! Functions of elements as shaders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod support;

use inference::plan::{Binary, Kind, Step, Unary};
use support::{Batch, Case, Is, alone, together, validate_all};

const UNARIES: [Unary; 35] = [
    Unary::Abs,
    Unary::Acos,
    Unary::Acosh,
    Unary::Asin,
    Unary::Asinh,
    Unary::Atan,
    Unary::Atanh,
    Unary::Ceil,
    Unary::Cos,
    Unary::Cosh,
    Unary::Erf,
    Unary::Exp,
    Unary::Floor,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::HardSwish,
    Unary::LeakyRelu(0.1),
    Unary::Ln,
    Unary::Neg,
    Unary::Pow(2.5),
    Unary::Pow(2.0),
    Unary::Recip,
    Unary::Round,
    Unary::RoundTiesEven,
    Unary::Rsqrt,
    Unary::Sigmoid,
    Unary::Sign,
    Unary::Silu,
    Unary::Sin,
    Unary::Sinh,
    Unary::Sqrt,
    Unary::Square,
    Unary::Tan,
    Unary::Tanh,
    Unary::Pow(-1.0),
];
const KINDS: [Kind; 4] = [Kind::Bool, Kind::I32, Kind::I64, Kind::F32];

#[test]
fn every_function_of_one_number_is_a_shader() {
    for op in UNARIES {
        let mut case = Case::new();
        let (input, output) =
            (case.input(Kind::F32, &[Batch, Is(7)]), case.slot(Kind::F32, &[Batch, Is(7)]));
        case.step(Step::Unary { op, input, output });
        validate_all(&case.answer(output).steps(&alone(3)).unwrap());
    }
}

#[test]
fn every_function_of_two_numbers_is_a_shader_or_says_why_not() {
    let mut made = 0;
    for op in Binary::ALL {
        for kind in KINDS {
            for result in [kind, Kind::Bool] {
                let mut case = Case::new();
                let left = case.input(kind, &[Batch, Is(7)]);
                let (right, output) =
                    (case.constant(kind, &[1, 7]), case.slot(result, &[Batch, Is(7)]));
                case.step(Step::Binary { op, left, right, output });
                let case = case.answer(output);
                let plan = case.archived();
                let said = shaders::supports(plan, &plan.steps[0]);
                let found = case.steps(&alone(3));
                assert_eq!(said.is_ok(), found.is_ok(), "{op:?} of {kind:?}: {said:?}");
                if let Ok(found) = found {
                    validate_all(&found);
                    made += 1;
                }
            }
        }
    }
    assert!(made > 30, "{made}");
}

#[test]
fn shaders_do_not_depend_on_sizes() {
    let mut case = Case::new();
    let (a, b) = (case.input(Kind::F32, &[Batch, Is(7)]), case.constant(Kind::F32, &[1, 7]));
    let output = case.slot(Kind::F32, &[Batch, Is(7)]);
    case.step(Step::Binary { op: Binary::Add, left: a, right: b, output });
    let case = case.answer(output);
    let one = case.steps(&alone(1)).unwrap();
    let many = case.steps(&alone(1000)).unwrap();
    assert_eq!(one[0].shader, many[0].shader);
    assert_ne!(one[0].params, many[0].params);
    let joint = case.steps(&together(&[2, 3])).unwrap();
    validate_all(&joint);
    assert_eq!(joint[0].shader, case.steps(&together(&[2, 0, 9])).unwrap()[0].shader);
    assert_ne!(one[0].shader, joint[0].shader);
}
