//! Answers equal onnxruntime's, for every batch from 1 to 64.
//!
//! The models, inputs and answers are made by `onnxruntime/reference.py`, in a Python environment
//! that this test makes below `.bulkhead/` where it is missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "onnxruntime/python.rs"]
mod python;

use std::{fs, path::Path, sync::Arc};

use artifact::Mapped;
use inference::{Backend, Inputs, Model, Pack, Tensor, TensorData, cpu::CpuBackend, pack};
use serde_json::Value;

/// Models for which plans have every step. The others run by tract, from the same package.
const PLANNED: &[&str] = &[
    "attention",
    "conv",
    "gru",
    "gru_reset_first",
    "images",
    "lstm",
    "lstm_both_ways",
    "mlp",
    "rnn",
    "scan",
    "signal",
];

fn load(bytes: &[u8]) -> Arc<dyn Model> {
    CpuBackend::default().load(&Mapped::copied(bytes).unwrap()).unwrap()
}

fn numbers(of: &Value) -> Vec<f64> {
    of["data"].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect()
}

fn shape(of: &Value) -> Vec<u64> {
    of["shape"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect()
}

fn inputs(case: &Value) -> Inputs {
    let tensors = case["inputs"].as_object().unwrap().iter().map(|(name, given)| {
        let data = numbers(given).into_iter().map(|it| it as f32).collect();
        Tensor::new(name, shape(given), TensorData::Fp32(data)).unwrap()
    });
    Inputs::new(tensors.collect()).unwrap()
}

fn check(named: &str, model: &dyn Model, cases: &Value, tolerance: f64) {
    for case in cases.as_array().unwrap() {
        let given = inputs(case);
        let batch = given.batch();
        let answer = model.infer(given).unwrap_or_else(|error| panic!("{named}: {error}"));
        for (found, expected) in answer.tensors().iter().zip(case["outputs"].as_array().unwrap()) {
            assert_eq!(found.shape(), shape(expected), "{named}, batch {batch}");
            let values: Vec<f64> = match found.data() {
                TensorData::Fp32(values) => values.iter().map(|it| f64::from(*it)).collect(),
                TensorData::Int64(values) => values.iter().map(|it| *it as f64).collect(),
                other => panic!("{named}: an answer of {}", other.datatype()),
            };
            for (found, expected) in values.iter().zip(numbers(expected)) {
                assert!(
                    (found - expected).abs() <= tolerance * expected.abs().max(1.0),
                    "{named}, batch {batch}: {found} is not {expected}"
                );
            }
        }
    }
}

#[test]
fn every_batch_from_1_to_64_is_answered_as_by_onnxruntime() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnxruntime/reference.py");
    let Some(folder) = python::run(&script, "onnxruntime-answers") else { return };
    let options = Pack::default();
    let mut names: Vec<String> = fs::read_dir(&*folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "onnx"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 22, "{names:?}");
    let mut planned = vec![];
    for name in &names {
        let onnx = fs::read(folder.join(name).with_extension("onnx")).unwrap();
        let answers = fs::read(folder.join(name).with_extension("json")).unwrap();
        let answers: Value = serde_json::from_slice(&answers).unwrap();
        let tolerance = answers["tolerance"].as_f64().unwrap();
        check(&format!("{name} by tract"), &*load(&onnx), &answers["cases"], tolerance);
        let packed = pack(&onnx, &options).unwrap();
        if matches!(packed.path, inference::Path::Plan { .. }) {
            planned.push(name.as_str());
        }
        check(&format!("{name} packed"), &*load(&packed.bytes), &answers["cases"], tolerance);
    }
    assert_eq!(planned, PLANNED);
}
