//! What is refused, how it is said, and that a hostile file ends nothing but its own load.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod onnx;

use std::sync::Arc;

use artifact::Mapped;
use inference::{
    Backend, DataType, InferError, Inputs, Limits, LoadError, Model, Tensor, TensorData,
    cpu::CpuBackend,
};
use onnx::{Dim, Element, Is, Named, Unknown};
use proptest::prelude::*;
use tenancy::problem::Problem;
use tract_onnx::pb::ModelProto;

fn load_within(model: &ModelProto, limits: Limits) -> Result<Arc<dyn Model>, LoadError> {
    CpuBackend::new(limits).load(&onnx::file(model))
}

fn load(model: &ModelProto) -> Result<Arc<dyn Model>, LoadError> {
    load_within(model, Limits::default())
}

fn tensor(name: &str, shape: &[u64], data: TensorData) -> Tensor {
    Tensor::new(name, shape.to_vec(), data).unwrap()
}

fn floats(name: &str, shape: &[u64]) -> Tensor {
    tensor(name, shape, TensorData::Fp32(vec![0.5; shape.iter().product::<u64>() as usize]))
}

fn integers(name: &str, shape: &[u64]) -> Tensor {
    tensor(name, shape, TensorData::Int64(vec![1; shape.iter().product::<u64>() as usize]))
}

/// The refusal of `tensors` by the model of two inputs, `carrier: INT64[-1]` and
/// `distance: FP32[-1,1]`.
fn refusal(tensors: Vec<Tensor>) -> InferError {
    let model = load(&onnx::lookup(Named("N"), Named("N"))).unwrap();
    Inputs::new(tensors).and_then(|inputs| model.infer(inputs)).unwrap_err()
}

fn load_error(model: &ModelProto) -> LoadError {
    match load(model) {
        Ok(model) => panic!("loaded a model with {:?}", model.signature()),
        Err(error) => error,
    }
}

#[test]
fn a_missing_input_is_said_with_what_it_must_be() {
    let error = refusal(vec![integers("carrier", &[2])]);
    assert_eq!(
        error,
        InferError::MissingInput {
            input: "distance".into(),
            datatype: DataType::Fp32,
            shape: vec![-1, 1],
        }
    );
    assert_eq!(error.problem(), Problem::MissingInput);
    assert_eq!(
        error.to_string(),
        "expected input `distance` of datatype FP32 and shape [-1, 1], found none"
    );
}

#[test]
fn an_input_that_the_model_lacks_is_said_with_those_it_has() {
    let error = refusal(vec![
        integers("carrier", &[2]),
        floats("distance", &[2, 1]),
        floats("bribe", &[1]),
    ]);
    assert_eq!(
        error,
        InferError::UnexpectedInput {
            input: "bribe".into(),
            expected: vec!["carrier".into(), "distance".into()],
        }
    );
    assert_eq!(error.problem(), Problem::UnknownInput);
}

#[test]
fn an_input_given_twice_is_refused() {
    let error = refusal(vec![
        integers("carrier", &[2]),
        floats("distance", &[2, 1]),
        integers("carrier", &[1]),
    ]);
    assert_eq!(error, InferError::DuplicateInput { input: "carrier".into() });
    assert_eq!(error.problem(), Problem::InvalidRequest);
}

#[test]
fn a_wrong_datatype_is_refused_and_never_converted() {
    let error = refusal(vec![floats("carrier", &[2]), floats("distance", &[2, 1])]);
    assert_eq!(
        error,
        InferError::WrongDataType {
            input: "carrier".into(),
            expected: DataType::Int64,
            found: DataType::Fp32,
        }
    );
    assert_eq!(error.problem(), Problem::WrongDatatype);
}

#[test]
fn a_wrong_rank_is_refused() {
    let error = refusal(vec![integers("carrier", &[2, 1]), floats("distance", &[2, 1])]);
    assert_eq!(
        error,
        InferError::WrongRank { input: "carrier".into(), expected: vec![-1], found: vec![2, 1] }
    );
    assert_eq!(error.problem(), Problem::BadShape);
}

#[test]
fn another_value_of_a_fixed_dimension_is_refused() {
    let error = refusal(vec![integers("carrier", &[2]), floats("distance", &[2, 4])]);
    assert_eq!(
        error,
        InferError::WrongDimension { input: "distance".into(), axis: 1, expected: 1, found: 4 }
    );
    assert_eq!(error.problem(), Problem::BadShape);

    let model = load(&onnx::fixed()).unwrap();
    let error = model.infer(Inputs::new(vec![floats("x", &[3, 3])]).unwrap()).unwrap_err();
    assert!(matches!(error, InferError::WrongDimension { axis: 0, expected: 2, found: 3, .. }));
}

#[test]
fn inputs_of_different_batches_are_refused() {
    let error = refusal(vec![integers("carrier", &[2]), floats("distance", &[3, 1])]);
    assert_eq!(
        error,
        InferError::BatchDisagrees {
            input: "distance".into(),
            like: "carrier".into(),
            expected: 2,
            found: 3,
        }
    );
    assert_eq!(error.problem(), Problem::BadShape);
}

#[test]
fn dimensions_of_one_name_must_be_equal() {
    let shape: [Dim; 2] = [Named("N"), Named("words")];
    let model = load(&onnx::model(
        vec![onnx::value("a", Element::Float, &shape), onnx::value("b", Element::Float, &shape)],
        vec![],
        vec![onnx::node("Add", &["a", "b"], "y", vec![])],
        vec![onnx::value("y", Element::Float, &shape)],
    ))
    .unwrap();
    let infer = |a, b| model.infer(Inputs::new(vec![floats("a", a), floats("b", b)]).unwrap());
    assert_eq!(infer(&[2, 5], &[2, 5]).unwrap().tensors()[0].shape(), [2, 5]);
    assert_eq!(
        infer(&[2, 5], &[2, 1]).unwrap_err(),
        InferError::DimensionsDisagree {
            input: "b".into(),
            axis: 1,
            like: "a".into(),
            expected: 5,
            found: 1,
        }
    );
}

#[test]
fn an_empty_batch_is_refused() {
    let error = refusal(vec![integers("carrier", &[0]), floats("distance", &[0, 1])]);
    assert_eq!(error, InferError::EmptyInput { input: "carrier".into(), axis: 0 });
    assert_eq!(error.problem(), Problem::BadShape);
}

#[test]
fn what_a_model_fixes_is_no_mistake_of_the_callers() {
    let model = |dims: &[Dim]| load(&onnx::identity(Element::Float, dims)).unwrap();
    let ask = |model: &dyn Model, shape: &[u64]| {
        model.infer(Inputs::new(vec![floats("x", shape)]).unwrap())
    };
    let most = Limits::default().max_batch;
    let fixed = model(&[Is(most as i64 + 1), Is(2)]);
    assert_eq!(ask(&*fixed, &[most + 1, 2]).unwrap().batch(), most + 1);
    let empty = model(&[Is(2), Is(0)]);
    assert_eq!(ask(&*empty, &[2, 0]).unwrap().tensors()[0].shape(), [2, 0]);
    // What is open is the caller's to fill.
    let error = ask(&*model(&[Is(2), Named("length")]), &[2, 0]).unwrap_err();
    assert_eq!(error, InferError::EmptyInput { input: "x".into(), axis: 1 });
}

#[test]
fn a_batch_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let limits = Limits { max_batch: 8, ..Limits::default() };
    let model = load_within(&onnx::mlp(Unknown), limits).unwrap();
    let infer = |rows| model.infer(Inputs::new(vec![floats("x", &[rows, 3])]).unwrap());
    assert_eq!(infer(8).unwrap().batch(), 8);
    let error = infer(9).unwrap_err();
    assert_eq!(error, InferError::BatchTooLarge { limit: 8, found: 9 });
    assert_eq!(error.problem(), Problem::BadShape);
}

#[test]
fn a_batch_is_bounded_by_the_bytes_that_it_makes_inside_the_graph() {
    // The widest tensor is of four FP32: 16 bytes a row.
    let limits = Limits { max_batch: 1000, max_tensor_bytes: 160 };
    let model = load_within(&onnx::mlp(Unknown), limits).unwrap();
    assert_eq!(model.max_batch(), 10);
    let limits = Limits { max_batch: 1000, max_tensor_bytes: 15 };
    assert!(matches!(
        load_within(&onnx::mlp(Unknown), limits),
        Err(LoadError::TensorTooLarge { bytes: 16, limit: 15, .. })
    ));
}

#[test]
fn data_that_is_not_its_shape_is_refused_before_it_is_a_tensor() {
    let error = Tensor::new("x", vec![2, 3], TensorData::Fp32(vec![0.0; 5])).unwrap_err();
    assert_eq!(
        error,
        InferError::LengthMismatch { input: "x".into(), shape: vec![2, 3], expected: 6, found: 5 }
    );
    assert_eq!(error.problem(), Problem::BadShape);
    assert!(Tensor::new("x", vec![], TensorData::Fp32(vec![0.0])).is_ok());
    assert!(Tensor::new("x", vec![], TensorData::Fp32(vec![])).is_err());
}

#[test]
fn a_shape_whose_product_overflows_is_refused() {
    // Wrapped around, the product would be 0 and fit no data at all.
    let shape = vec![1 << 32, 1 << 32];
    let error = Tensor::new("x", shape.clone(), TensorData::Fp32(vec![])).unwrap_err();
    assert_eq!(error, InferError::ShapeTooLarge { input: "x".into(), shape });
    assert_eq!(error.problem(), Problem::BadShape);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let model = load(&onnx::identity(Element::String, &[Unknown])).unwrap();
    let data = TensorData::Bytes(vec![b"text".to_vec(), vec![0xff, 0xfe]]);
    let error = model.infer(Inputs::new(vec![tensor("x", &[2], data)]).unwrap()).unwrap_err();
    assert_eq!(error, InferError::NotUtf8 { input: "x".into(), index: 1 });
    assert_eq!(error.problem(), Problem::InvalidRequest);
}

#[test]
fn a_category_outside_the_table_fails_its_request_and_no_other() {
    let model = load(&onnx::lookup(Named("N"), Named("N"))).unwrap();
    for hostile in [onnx::TABLE_ROWS, i64::MAX, i64::MIN] {
        let inputs = vec![
            tensor("carrier", &[1], TensorData::Int64(vec![hostile])),
            tensor("distance", &[1, 1], TensorData::Fp32(vec![1.0])),
        ];
        let error = model.infer(Inputs::new(inputs).unwrap()).unwrap_err();
        assert_eq!(error.problem(), Problem::InferenceFailed, "{error}");
    }
    let inputs = vec![integers("carrier", &[1]), floats("distance", &[1, 1])];
    assert!(model.infer(Inputs::new(inputs).unwrap()).is_ok());
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let load = |bytes: &[u8]| {
        CpuBackend::default().load(&Mapped::copied(bytes).unwrap()).map(|_| ()).unwrap_err()
    };
    assert_eq!(load(b""), LoadError::NoGraph);
    assert!(matches!(load(b"<html>not found</html>"), LoadError::NotOnnx { .. }));
    let whole = onnx::bytes(&onnx::mlp(Unknown));
    assert!(matches!(load(&whole[..whole.len() / 2]), LoadError::NotOnnx { .. }));
}

#[test]
fn a_graph_that_does_not_say_its_inputs_is_refused() {
    let mut untyped = onnx::mlp(Unknown);
    untyped.graph.as_mut().unwrap().input[0].r#type = None;
    assert!(matches!(load_error(&untyped), LoadError::UndeclaredInput { missing: "datatype", .. }));

    let complex = onnx::identity(Element::Complex64, &[Unknown]);
    assert!(matches!(load_error(&complex), LoadError::UnsupportedDataType { .. }));

    let mut twice = onnx::mlp(Unknown);
    let graph = twice.graph.as_mut().unwrap();
    graph.input.push(graph.input[0].clone());
    assert_eq!(load_error(&twice), LoadError::DuplicateName { name: "x".into() });

    let mut silent = onnx::mlp(Unknown);
    silent.graph.as_mut().unwrap().output.clear();
    assert_eq!(load_error(&silent), LoadError::NoGraph);
}

#[test]
fn an_operator_that_the_backend_lacks_is_refused_by_name() {
    let mut model = onnx::mlp(Unknown);
    model.graph.as_mut().unwrap().node[2].op_type = "TenantExfiltrator".into();
    let error = load_error(&model);
    assert!(matches!(error, LoadError::Graph { .. }), "{error}");
    assert!(error.to_string().contains("TenantExfiltrator"), "{error}");
}

#[test]
fn what_the_backend_would_pass_over_is_refused_by_name() {
    let input = |name: &str| onnx::value(name, Element::Float, &[Is(1), Is(2), Is(4), Is(8)]);
    let asked = |inputs: &[&str], op: &str, attributes| {
        load_error(&onnx::model(
            inputs.iter().filter(|it| !it.is_empty()).map(|name| input(name)).collect(),
            vec![],
            vec![onnx::node(op, inputs, "y", attributes)],
            vec![onnx::value("y", Element::Float, &[Unknown, Unknown, Unknown, Unknown])],
        ))
    };
    let past = ["q", "k", "v", "", "past_key", "past_value"];
    for (error, part) in [
        (asked(&past[..3], "Attention", vec![onnx::int("left_window_size", 2)]), "a window"),
        (
            asked(&past, "Attention", vec![onnx::int("is_causal", 1)]),
            "a causal mask over past keys",
        ),
        (
            asked(
                &["x"],
                "SpaceToDepth",
                vec![onnx::int("blocksize", 2), onnx::text("mode", "CRD")],
            ),
            "the mode CRD",
        ),
    ] {
        assert!(matches!(&error, LoadError::Graph { detail } if detail.contains(part)), "{error}");
    }
}

#[test]
fn weights_outside_the_file_are_refused() {
    use tract_onnx::pb::{StringStringEntryProto, tensor_proto::DataLocation};
    let mut model = onnx::mlp(Unknown);
    let weights = &mut model.graph.as_mut().unwrap().initializer[0];
    weights.raw_data.clear();
    weights.data_location = Some(DataLocation::External as i32);
    weights.external_data =
        vec![StringStringEntryProto { key: "location".into(), value: "/etc/passwd".into() }];
    let error = load_error(&model);
    assert!(matches!(error, LoadError::Graph { .. }), "{error}");
}

#[test]
fn a_panic_of_the_backend_is_an_error_of_the_load() {
    // tract looks the output up in a map, by indexing.
    let mut model = onnx::mlp(Unknown);
    model.graph.as_mut().unwrap().output[0].name = "nowhere".into();
    let error = load_error(&model);
    assert!(matches!(error, LoadError::Panicked { .. } | LoadError::Graph { .. }), "{error}");
}

#[test]
fn a_graph_that_feeds_itself_is_refused() {
    let model = onnx::model(
        vec![onnx::value("x", Element::Float, &[Unknown])],
        vec![],
        vec![onnx::node("Add", &["x", "b"], "a", vec![]), onnx::node("Relu", &["a"], "b", vec![])],
        vec![onnx::value("b", Element::Float, &[Unknown])],
    );
    load_error(&model);
}

#[test]
fn a_dimension_written_as_a_deep_expression_does_not_overflow_the_stack() {
    let deep: &'static str = Box::leak("(".repeat(1 << 20).into_boxed_str());
    let model = load(&onnx::mlp(Named(deep))).unwrap();
    assert_eq!(model.signature().inputs[0].shape, [-1, 3]);
}

#[test]
fn a_tensor_of_impossible_size_is_refused_before_it_is_made() {
    let mut model = onnx::mlp(Unknown);
    model.graph.as_mut().unwrap().initializer[0].dims = vec![1 << 40, 1 << 20];
    load_error(&model);

    let model = onnx::identity(Element::Float, &[Unknown, Is(1 << 40)]);
    assert!(matches!(load_error(&model), LoadError::TensorTooLarge { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_never_end_the_process(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = CpuBackend::default().load(&Mapped::copied(&bytes).unwrap());
    }

    /// Bytes that are nearly a model get further in than noise does.
    #[test]
    fn a_damaged_model_is_refused_or_answers(
        which in 0..4_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let model = match which {
            0 => onnx::mlp(Named("N")),
            1 => onnx::lookup(Named("N"), Unknown),
            2 => onnx::fixed(),
            _ => onnx::convolution(Unknown),
        };
        let mut bytes = onnx::bytes(&model);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let limits = Limits { max_batch: 4, max_tensor_bytes: 1 << 20 };
        if let Ok(model) = CpuBackend::new(limits).load(&Mapped::copied(&bytes).unwrap()) {
            let inputs = model.signature().inputs.iter().map(|spec| {
                let shape: Vec<u64> = spec.shape.iter().map(|&dim| u64::try_from(dim).unwrap_or(2)).collect();
                let count = shape.iter().product::<u64>() as usize;
                match spec.datatype {
                    DataType::Int64 => tensor(&spec.name, &shape, TensorData::Int64(vec![1; count])),
                    _ => tensor(&spec.name, &shape, TensorData::Fp32(vec![0.5; count])),
                }
            });
            if let Ok(inputs) = Inputs::new(inputs.collect()) {
                let _ = model.infer(inputs);
            }
        }
    }
}
