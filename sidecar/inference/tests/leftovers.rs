//! What a request leaves in memory is no other's to read, whatever a plan says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use artifact::{Header, Mapped, PackageBuilder, SectionKind, Tensor as Declared};
use inference::{
    Backend, InferError, Inputs, Tensor, TensorData,
    cpu::CpuBackend,
    plan::{Dimension, Kind, PLAN_VERSION, Place, Plan, Step, SymbolSource, Term, Unary, Value},
};

/// A model of rows of eight that does `steps`, over an input, a slot as long, and one twice as long.
fn package(steps: Vec<Step>, slots: [u32; 2], output: u32) -> Mapped {
    let value = |shape: &[u32], place| Value { kind: Kind::F32, shape: shape.to_vec(), place };
    let plan = Plan {
        version: PLAN_VERSION,
        symbols: vec![SymbolSource { input: 0, axis: 0 }],
        dimensions: vec![
            Dimension { terms: vec![Term::Symbol(0)] },
            Dimension::fixed(8),
            Dimension::fixed(2),
        ],
        values: vec![
            value(&[0, 1], Place::Input(0)),
            value(&[0, 1], Place::Slot(slots[0])),
            value(&[0, 1, 2], Place::Slot(slots[1])),
        ],
        slots: 2,
        steps,
        outputs: vec![output],
        ..Plan::default()
    };
    let tensor = |name: &str, shape: &[i64]| Declared {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: shape.to_vec(),
        names: vec![String::new(); shape.len()],
    };
    let header = Header {
        inputs: vec![tensor("x", &[-1, 8])],
        outputs: vec![tensor("y", if output == 2 { &[-1, 8, 2] } else { &[-1, 8] })],
        ..Header::default()
    };
    let mut builder = PackageBuilder::new(header);
    let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&plan).unwrap();
    builder.section(SectionKind::Plan, "", archive.into_vec());
    Mapped::copied(&builder.finish().unwrap()).unwrap()
}

fn asked(number: f32) -> Inputs {
    let tensor = Tensor::new("x", vec![4, 8], TensorData::Fp32(vec![number; 32])).unwrap();
    Inputs::new(vec![tensor]).unwrap()
}

#[test]
fn no_plan_answers_what_another_request_left() {
    let backend = CpuBackend::default();
    let load = |file: &Mapped| backend.load(file).unwrap();
    let negated = || Step::Unary { op: Unary::Neg, input: 0, output: 1 };
    let honest = load(&package(vec![negated()], [0, 1], 1));
    let secret = 42.0;
    for (steps, slots, output) in [
        // Nothing is written at all.
        (vec![], [0, 1], 1),
        // Half of what is answered is.
        (vec![negated()], [0, 0], 2),
        // What is read is written later.
        (vec![Step::Unary { op: Unary::Neg, input: 1, output: 2 }, negated()], [0, 1], 2),
    ] {
        let hostile = load(&package(steps, slots, output));
        assert!(honest.infer(asked(secret)).is_ok());
        let answer = hostile.infer(asked(0.0));
        assert!(matches!(answer, Err(InferError::Failed { .. })), "{answer:?}");
    }
}
