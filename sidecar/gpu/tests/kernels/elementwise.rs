//! Functions of elements.

use gpu::Device;
use inference::{
    TensorData,
    plan::{Binary, Kind, Step, Unary},
};

use crate::{
    case::{Batch, Case, Is},
    compare::{assert_near, near, normal, odd, plain},
    llvmpipe::device,
    moves::data,
};

const UNARIES: [(Unary, f32); 33] = [
    (Unary::Abs, 0.0),
    (Unary::Acos, 1e-6),
    (Unary::Acosh, 1e-6),
    (Unary::Asin, 1e-6),
    (Unary::Asinh, 1e-6),
    (Unary::Atan, 1e-6),
    // The CPU's loses digits towards -1.
    (Unary::Atanh, 2e-5),
    (Unary::Ceil, 0.0),
    (Unary::Cos, 1e-6),
    (Unary::Cosh, 3e-6),
    (Unary::Erf, 1e-6),
    (Unary::Exp, 3e-6),
    (Unary::Floor, 0.0),
    (Unary::Gelu, 2e-6),
    (Unary::GeluTanh, 2e-6),
    (Unary::HardSwish, 1e-6),
    (Unary::LeakyRelu(0.1), 1e-7),
    (Unary::Ln, 1e-6),
    (Unary::Neg, 0.0),
    (Unary::Pow(2.5), 1e-5),
    (Unary::Recip, 1e-6),
    (Unary::Round, 0.0),
    (Unary::RoundTiesEven, 0.0),
    (Unary::Rsqrt, 1e-6),
    (Unary::Sigmoid, 1e-6),
    (Unary::Sign, 0.0),
    (Unary::Silu, 1e-6),
    (Unary::Sin, 1e-6),
    (Unary::Sinh, 3e-6),
    (Unary::Sqrt, 1e-6),
    (Unary::Square, 1e-7),
    (Unary::Tan, 1e-5),
    (Unary::Tanh, 1e-6),
];

/// What to ask a device: nothing subnormal, where it takes that for 0, as it may.
fn given(device: &Device, data: TensorData) -> TensorData {
    let mut case = Case::new();
    let (input, output) = (case.input(Kind::F32, &[Batch]), case.slot(Kind::F32, &[Batch]));
    case.step(Step::Unary { op: Unary::Sign, input, output });
    case.answer(output);
    let least = case.request(1, vec![TensorData::Fp32(vec![1e-40])]);
    let [_, found] = case.both(device, &least);
    let keeps = matches!(found.tensors()[0].data(), TensorData::Fp32(it) if it[0] == 1.0);
    if keeps { data } else { normal(data) }
}

#[test]
fn functions_of_one_number_are_the_cpus() {
    let Some(device) = device() else { return };
    let mut failed = vec![];
    for (op, tolerance) in UNARIES {
        let mut case = Case::new();
        let shape = [Batch, Is(31)];
        let (input, output) = (case.input(Kind::F32, &shape), case.slot(Kind::F32, &shape));
        case.step(Step::Unary { op, input, output });
        case.answer(output);
        let mut numbers = odd(3, 31 * 60);
        numbers.extend(plain(4, 31 * 40));
        let given = given(device, TensorData::Fp32(numbers));
        let TensorData::Fp32(numbers) = given.clone() else { panic!("no floats") };
        let request = case.request(100, vec![given]);
        let [expected, found] = case.both(device, &request);
        let data = [&expected, &found].map(|it| match it.tensors()[0].data() {
            TensorData::Fp32(data) => data.clone(),
            _ => panic!("no floats"),
        });
        let worst = numbers
            .iter()
            .zip(data[0].iter().zip(&data[1]))
            .filter(|(_, (expected, found))| !near(**found, **expected, tolerance));
        for (x, (expected, found)) in worst.take(6) {
            failed.push(format!("{op:?}({x:e}): found {found:e}, expected {expected:e}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn functions_of_two_numbers_are_the_cpus() {
    let Some(device) = device() else { return };
    for op in Binary::ALL {
        let (compares, logic) = (op.compares(), op.is_logical());
        for kind in [Kind::F32, Kind::I64, Kind::Bool] {
            let fits = match kind {
                Kind::F32 => !logic,
                // Quotients of integers are the CPU's.
                Kind::I64 => !logic && !matches!(op, Binary::Pow | Binary::Div),
                _ => logic || compares,
            };
            if !fits {
                continue;
            }
            let result = if compares { Kind::Bool } else { kind };
            for broadcast in [[5, 7, 5, 7], [5, 7, 1, 7], [5, 1, 5, 7], [1, 1, 5, 7], [1, 7, 5, 1]]
            {
                let mut case = Case::new();
                let [a, b, c, d] = broadcast.map(Is);
                let left = case.input(kind, &[Batch, a, b]);
                let right = data(kind, 2, (broadcast[2] * broadcast[3]) as usize);
                let right =
                    case.constant(kind, &[1, broadcast[2], broadcast[3]], &given(device, right));
                let _ = (c, d);
                let output = case.slot(result, &[Batch, Is(5), Is(7)]);
                case.step(Step::Binary { op, left, right, output });
                case.answer(output);
                let count = (13 * broadcast[0] * broadcast[1]) as usize;
                let request = case.request(13, vec![given(device, data(kind, 3, count))]);
                assert_near(
                    &case.both(device, &request),
                    3e-5,
                    &format!("{op:?} of {kind:?} {broadcast:?}"),
                );
            }
        }
    }
}

#[test]
fn casts_and_choices_are_the_cpus() {
    let Some(device) = device() else { return };
    let kinds = [Kind::Bool, Kind::I32, Kind::I64, Kind::F32];
    for kind in kinds {
        for to in kinds.into_iter().filter(|it| *it != kind) {
            let mut case = Case::new();
            let shape = [Batch, Is(50)];
            let (input, output) = (case.input(kind, &shape), case.slot(to, &shape));
            case.step(Step::Cast { input, output });
            case.answer(output);
            let request = case.request(20, vec![data(kind, 5, 1000)]);
            assert_near(&case.both(device, &request), 0.0, &format!("{kind:?} to {to:?}"));
        }
        if kind != Kind::I32 {
            let mut case = Case::new();
            let shape = [Batch, Is(50)];
            let condition = case.input(Kind::Bool, &[Batch, Is(1)]);
            let (yes, no) =
                (case.input(kind, &shape), case.constant(kind, &[1, 50], &data(kind, 6, 50)));
            let output = case.slot(kind, &shape);
            case.step(Step::Select { condition, yes, no, output });
            case.answer(output);
            let request = case.request(20, vec![data(Kind::Bool, 8, 20), data(kind, 7, 1000)]);
            assert_near(&case.both(device, &request), 0.0, &format!("select of {kind:?}"));
        }
    }
}
