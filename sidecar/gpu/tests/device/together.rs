//! Rows of several models in one run.

use std::sync::Arc;

use gpu::{Device, GpuBackend};
use inference::{
    Backend, InferError, Inputs, Model, Outputs, Part, Tensor, TensorData, cpu::CpuBackend,
};

use crate::{
    llvmpipe::{backend, device},
    models::layers,
    onnx::{self, Named},
    support::{assert_near, inputs, packed, placed},
};

fn family(backend: &GpuBackend, count: usize) -> Vec<Arc<dyn Model>> {
    (0..count).map(|seed| backend.load(&packed(&layers(seed, &[6, 16, 3]))).unwrap()).collect()
}

fn joint(models: &[Arc<dyn Model>], rows: &[u64]) -> (Inputs, Outputs) {
    let all: u64 = rows.iter().sum();
    let given = inputs(&*models[0], all);
    let parts: Vec<Part<'_>> = models
        .iter()
        .zip(rows)
        .map(|(model, rows)| Part { model: &**model, rows: *rows })
        .collect();
    let mut outputs = Outputs::default();
    models[0].infer_together(&given, &parts, &mut outputs).unwrap();
    (given, outputs)
}

fn assert_as_alone(device: &Device, models: &[Arc<dyn Model>], rows: &[u64]) {
    let (given, found) = joint(models, rows);
    let split = given.split(rows).unwrap();
    for (at, (answer, given)) in found.split(rows).unwrap().iter().zip(split).enumerate() {
        let alone = placed(&*models[at]).on_cpu().infer(given).unwrap();
        assert_near(answer, &alone, 1e-5, &format!("model {at} on {device:?}"));
    }
}

#[test]
fn many_small_models_answer_together_as_each_alone() {
    let Some(device) = device() else { return };
    let models = family(&backend(device), 64);
    let first = models[0].family();
    assert!(first.is_some() && models.iter().all(|model| model.family() == first));
    assert_as_alone(device, &models, &[1; 64]);
    assert!(models.iter().all(|model| placed(&**model).answered_by_device() == 1));
    let uneven: Vec<u64> = (0..64).map(|at| at % 5).collect();
    let (some, rows): (Vec<_>, Vec<_>) =
        models.iter().cloned().zip(uneven).filter(|(_, rows)| *rows > 0).unzip();
    assert_as_alone(device, &some, &rows);
}

#[test]
fn a_model_may_come_twice_and_in_any_order() {
    let Some(device) = device() else { return };
    let models = family(&backend(device), 3);
    let order = [2, 0, 2, 1].map(|at: usize| Arc::clone(&models[at]));
    assert_as_alone(device, &order, &[3, 1, 2, 9]);
}

#[test]
fn models_that_differ_in_more_than_their_weights_are_no_family() {
    let Some(device) = device() else { return };
    let backend = backend(device);
    let family = |widths: &[i64]| backend.load(&packed(&layers(1, widths))).unwrap().family();
    assert_eq!(family(&[6, 16, 3]), family(&[6, 16, 3]));
    assert_ne!(family(&[6, 16, 3]), family(&[6, 17, 3]));
    let softmax = |axis| {
        let nodes = vec![onnx::node("Softmax", &["x"], "y", vec![onnx::int("axis", axis)])];
        let model = crate::models::model(&[4], vec![], nodes, &[4]);
        backend.load(&packed(&model)).unwrap().family()
    };
    assert_eq!(softmax(0), None, "it mixes rows");
}

#[test]
fn one_models_failure_is_told_and_its_neighbours_are_answered_alone() {
    let Some(device) = device() else { return };
    let backend = backend(device);
    let file = packed(&onnx::lookup(Named("N"), Named("N")));
    let models: Vec<_> = (0..2).map(|_| backend.load(&file).unwrap()).collect();
    let carrier = Tensor::new("carrier", vec![2], TensorData::Int64(vec![1, 99])).unwrap();
    let distance = Tensor::new("distance", vec![2, 1], TensorData::Fp32(vec![1.0; 2])).unwrap();
    let given = Inputs::new(vec![carrier, distance]).unwrap();
    let parts = [0, 1].map(|at: usize| Part { model: &*models[at], rows: 1 });
    let mut outputs = Outputs::default();
    let failed = models[0].infer_together(&given, &parts, &mut outputs).unwrap_err();
    assert!(matches!(failed, InferError::Failed { .. }), "{failed}");
    let split = given.split(&[1, 1]).unwrap();
    models[0].infer(split[0].clone()).unwrap();
    models[1].infer(split[1].clone()).unwrap_err();
}

#[test]
fn without_a_device_there_is_no_family_and_no_place() {
    let (cpu, file) = (CpuBackend::default(), packed(&layers(1, &[6, 16, 3])));
    let model = GpuBackend::new(cpu.clone(), None, gpu::Mode::Always).load(&file).unwrap();
    assert_eq!(model.family(), cpu.load(&file).unwrap().family());
    assert!(model.on_device().is_none());
}
