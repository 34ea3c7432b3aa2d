//! What models answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;

use std::sync::Arc;

use inference::{
    Backend, DataType, Inputs, Limits, LoadError, Model, Tensor, TensorData, cpu::CpuBackend, f16,
};
use onnx::{Element, Is, Named, Unknown};

fn load(model: &tract_onnx::pb::ModelProto) -> Result<Arc<dyn Model>, LoadError> {
    CpuBackend::new(Limits::default()).load(&onnx::file(model))
}

fn floats(name: &str, shape: &[u64], values: Vec<f32>) -> Tensor {
    Tensor::new(name, shape.to_vec(), TensorData::Fp32(values)).unwrap()
}

fn integers(name: &str, shape: &[u64], values: Vec<i64>) -> Tensor {
    Tensor::new(name, shape.to_vec(), TensorData::Int64(values)).unwrap()
}

fn answer(model: &dyn Model, tensors: Vec<Tensor>) -> Vec<f32> {
    let outputs = model.infer(Inputs::new(tensors).unwrap()).unwrap();
    let TensorData::Fp32(values) = outputs.tensors()[0].data() else {
        panic!("expected FP32, found {:?}", outputs.tensors()[0]);
    };
    values.clone()
}

fn assert_close(left: &[f32], right: &[f32]) {
    assert_eq!(left.len(), right.len());
    for (one, other) in left.iter().zip(right) {
        assert!((one - other).abs() <= 1e-4 * one.abs().max(1.0), "{left:?} is not {right:?}");
    }
}

/// Values that differ from row to row, of both signs.
fn some_values(count: usize) -> Vec<f32> {
    (0..count).map(|n| ((n * 37 + 11) % 101) as f32 * 0.07 - 3.5).collect()
}

#[test]
fn every_batch_from_1_to_64_is_answered_as_its_rows_are() {
    for batch in [Named("batch"), Unknown, Is(-1)] {
        let model = load(&onnx::mlp(batch)).unwrap();
        assert_eq!(model.unoptimised(), None);
        for rows in 1..=64 {
            let x = some_values(rows * 3);
            let expected: Vec<f32> = x.chunks(3).map(onnx::mlp_answer).collect();
            let together = answer(&*model, vec![floats("x", &[rows as u64, 3], x.clone())]);
            let alone: Vec<f32> = x
                .chunks(3)
                .flat_map(|row| answer(&*model, vec![floats("x", &[1, 3], row.to_vec())]))
                .collect();
            assert_close(&together, &expected);
            assert_close(&together, &alone);
        }
    }
}

#[test]
fn a_category_is_looked_up_inside_the_graph_for_every_batch() {
    // Exporters name the batch of each input alike, or each its own way, or not at all.
    for (batch, other) in [
        (Named("N"), Named("N")),
        (Named("a"), Named("b")),
        (Unknown, Unknown),
        (Named("N"), Unknown),
    ] {
        let model = load(&onnx::lookup(batch, other)).unwrap();
        assert_eq!(model.unoptimised(), None);
        for rows in 1..=64_u64 {
            let carriers: Vec<i64> = (0..rows as i64).map(|n| n % onnx::TABLE_ROWS).collect();
            let distances = some_values(rows as usize);
            let expected: Vec<f32> = carriers
                .iter()
                .zip(&distances)
                .map(|(&carrier, &distance)| onnx::lookup_answer(carrier, distance))
                .collect();
            // The order of the request's tensors is not the model's.
            let found = answer(
                &*model,
                vec![
                    floats("distance", &[rows, 1], distances),
                    integers("carrier", &[rows], carriers),
                ],
            );
            assert_close(&found, &expected);
        }
    }
}

#[test]
fn a_convolution_answers_a_batch_as_its_images() {
    let model = load(&onnx::convolution(Named("N"))).unwrap();
    assert_eq!(model.unoptimised(), None);
    for rows in [1, 2, 7, 64] {
        let images = some_values(rows * 64);
        let together =
            answer(&*model, vec![floats("image", &[rows as u64, 1, 8, 8], images.clone())]);
        let alone: Vec<f32> = images
            .chunks(64)
            .flat_map(|image| answer(&*model, vec![floats("image", &[1, 1, 8, 8], image.to_vec())]))
            .collect();
        assert_close(&together, &alone);
    }
}

#[test]
fn a_model_of_fixed_shape_takes_that_shape() {
    let model = load(&onnx::fixed()).unwrap();
    let inputs = Inputs::new(vec![floats("x", &[2, 3], vec![1., 2., 3., 4., 5., 6.])]).unwrap();
    assert_eq!(inputs.batch(), 2);
    let outputs = model.infer(inputs).unwrap();
    assert_eq!(outputs.batch(), 2);
    assert_eq!(outputs.tensors(), [floats("y", &[2, 3], vec![2., 4., 6., 8., 10., 12.])]);
}

#[test]
fn rows_are_counted_by_the_batch_and_not_by_the_first_tensor() {
    // `context` is one for the whole batch; a request that lists it first claims one row.
    let model = load(&onnx::model(
        vec![
            onnx::value("context", Element::Float, &[Is(1), Is(3)]),
            onnx::value("x", Element::Float, &[Named("N"), Is(3)]),
        ],
        vec![],
        vec![onnx::node("Add", &["x", "context"], "y", vec![])],
        vec![onnx::value("y", Element::Float, &[Named("N"), Is(3)])],
    ))
    .unwrap();
    let inputs = Inputs::new(vec![
        floats("context", &[1, 3], vec![1., 2., 3.]),
        floats("x", &[5, 3], vec![0.; 15]),
    ])
    .unwrap();
    assert_eq!(inputs.batch(), 1);
    assert_eq!(model.infer(inputs).unwrap().batch(), 5);
}

#[test]
fn every_datatype_of_the_protocol_goes_through_unchanged() {
    let cases = [
        (Element::Bool, TensorData::Bool(vec![true, false])),
        (Element::Uint8, TensorData::Uint8(vec![0, u8::MAX])),
        (Element::Uint16, TensorData::Uint16(vec![0, u16::MAX])),
        (Element::Uint32, TensorData::Uint32(vec![0, u32::MAX])),
        (Element::Uint64, TensorData::Uint64(vec![0, u64::MAX])),
        (Element::Int8, TensorData::Int8(vec![i8::MIN, i8::MAX])),
        (Element::Int16, TensorData::Int16(vec![i16::MIN, i16::MAX])),
        (Element::Int32, TensorData::Int32(vec![i32::MIN, i32::MAX])),
        (Element::Int64, TensorData::Int64(vec![i64::MIN, i64::MAX])),
        (Element::Float16, TensorData::Fp16(vec![f16::MIN, f16::from_f32(0.5)])),
        (Element::Float, TensorData::Fp32(vec![f32::MIN, 0.5])),
        (Element::Double, TensorData::Fp64(vec![f64::MIN, 0.5])),
        (Element::String, TensorData::Bytes(vec![b"".to_vec(), "Köln".into()])),
    ];
    assert_eq!(cases.len(), DataType::ALL.len());
    for (element, data) in cases {
        let model = load(&onnx::identity(element, &[Unknown])).unwrap();
        assert_eq!(model.signature().inputs[0].datatype, data.datatype());
        assert_eq!(model.signature().outputs[0].datatype, data.datatype());
        let inputs = Inputs::new(vec![Tensor::new("x", vec![2], data.clone()).unwrap()]).unwrap();
        let outputs = model.infer(inputs).unwrap().into_tensors();
        assert_eq!(outputs, [Tensor::new("y", vec![2], data).unwrap()]);
    }
}

#[test]
fn a_datatype_reads_back_what_it_writes() {
    for datatype in DataType::ALL {
        assert_eq!(datatype.as_str().parse(), Ok(*datatype));
        assert_eq!(serde_json::to_value(datatype).unwrap(), datatype.as_str());
    }
    assert!("fp32".parse::<DataType>().is_err());
}

#[test]
fn the_signature_is_the_files_own_in_its_own_order() {
    let file = onnx::with_metadata(onnx::lookup(Named("N"), Named("N")), "trained_on", "org_ua");
    let model = load(&file).unwrap();
    let signature = model.signature();
    assert_eq!(
        serde_json::to_value(&signature.inputs).unwrap(),
        serde_json::json!([
            { "name": "carrier", "datatype": "INT64", "shape": [-1] },
            { "name": "distance", "datatype": "FP32", "shape": [-1, 1] },
        ])
    );
    assert_eq!(
        serde_json::to_value(&signature.outputs).unwrap(),
        serde_json::json!([{ "name": "minutes", "datatype": "FP32", "shape": [-1, 1] }])
    );
    assert_eq!(signature.metadata.get("trained_on").map(String::as_str), Some("org_ua"));
}

#[test]
fn the_shape_of_an_answer_that_counts_dimensions_is_int64() {
    let model = load(&onnx::model(
        vec![onnx::value("x", Element::Float, &[Named("N"), Is(3)])],
        vec![],
        vec![onnx::node("Shape", &["x"], "y", vec![])],
        vec![onnx::value("y", Element::Int64, &[Is(2)])],
    ))
    .unwrap();
    assert_eq!(model.signature().outputs[0].datatype, DataType::Int64);
    let inputs = Inputs::new(vec![floats("x", &[7, 3], vec![0.; 21])]).unwrap();
    let outputs = model.infer(inputs).unwrap().into_tensors();
    assert_eq!(outputs, [integers("y", &[2], vec![7, 3])]);
}

#[test]
fn weights_listed_as_inputs_are_not_asked_of_the_caller() {
    let mut file = onnx::mlp(Named("N"));
    let graph = file.graph.as_mut().unwrap();
    graph.input.insert(0, onnx::value("w1", Element::Float, &[Is(3), Is(4)]));
    graph.input.push(onnx::value("b1", Element::Float, &[Is(4)]));
    let model = load(&file).unwrap();
    assert_eq!(model.signature().inputs.len(), 1);
    let x = some_values(6);
    let expected: Vec<f32> = x.chunks(3).map(onnx::mlp_answer).collect();
    assert_close(&answer(&*model, vec![floats("x", &[2, 3], x)]), &expected);
}

#[test]
fn a_model_says_at_least_the_bytes_of_its_weights() {
    let weights = vec![0.5; 256 * 256];
    let file = onnx::model(
        vec![onnx::value("x", Element::Float, &[Unknown, Is(256)])],
        vec![onnx::floats("w", &[256, 256], &weights)],
        vec![onnx::node("MatMul", &["x", "w"], "y", vec![])],
        vec![onnx::value("y", Element::Float, &[Unknown, Is(256)])],
    );
    let bytes = load(&file).unwrap().private_bytes();
    assert!((256 * 256 * 4..2 * 256 * 256 * 4).contains(&bytes), "{bytes}");
}

#[test]
fn a_model_answers_from_many_threads_at_once() {
    let model = load(&onnx::mlp(Named("N"))).unwrap();
    std::thread::scope(|scope| {
        for rows in 1..=8_usize {
            let model = &model;
            scope.spawn(move || {
                let x = some_values(rows * 3);
                let expected: Vec<f32> = x.chunks(3).map(onnx::mlp_answer).collect();
                for _ in 0..50 {
                    let found = answer(&**model, vec![floats("x", &[rows as u64, 3], x.clone())]);
                    assert_close(&found, &expected);
                }
            });
        }
    });
}
