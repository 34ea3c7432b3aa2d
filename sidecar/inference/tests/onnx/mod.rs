//! ONNX files, written by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

pub mod recurrent;

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};

pub use tract_onnx::pb::tensor_proto::DataType as Element;

/// A dimension as a file declares it.
#[derive(Clone, Copy)]
pub enum Dim {
    Is(i64),
    Named(&'static str),
    Unknown,
}
pub use Dim::{Is, Named, Unknown};

pub fn value(name: &str, element: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dim = |dim: &Dim| tensor_shape_proto::Dimension {
        value: match *dim {
            Is(fixed) => Some(tensor_shape_proto::dimension::Value::DimValue(fixed)),
            Named(name) => Some(tensor_shape_proto::dimension::Value::DimParam(name.to_owned())),
            Unknown => None,
        },
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: element as i32,
        shape: Some(TensorShapeProto { dim: dims.iter().map(dim).collect() }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn node(op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        name: format!("make_{output}"),
        op_type: op.to_owned(),
        attribute: attributes,
        ..Default::default()
    }
}

pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Int as i32,
        i: value,
        ..Default::default()
    }
}

pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::String as i32,
        s: value.into(),
        ..Default::default()
    }
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..Default::default()
    }
}

pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..Default::default()
    }
}

pub fn model(
    inputs: Vec<ValueInfoProto>,
    initializers: Vec<TensorProto>,
    nodes: Vec<NodeProto>,
    outputs: Vec<ValueInfoProto>,
) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 15 }],
        graph: Some(GraphProto {
            name: "graph".to_owned(),
            node: nodes,
            initializer: initializers,
            input: inputs,
            output: outputs,
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

pub fn file(model: &ModelProto) -> artifact::Mapped {
    artifact::Mapped::copied(&bytes(model)).unwrap()
}

pub fn with_metadata(mut model: ModelProto, key: &str, value: &str) -> ModelProto {
    model
        .metadata_props
        .push(StringStringEntryProto { key: key.to_owned(), value: value.to_owned() });
    model
}

pub const W1: [f32; 12] = [0.5, -1.0, 0.25, 2.0, 1.5, 0.75, -0.5, 1.0, -2.0, 0.125, 3.0, -0.25];
pub const B1: [f32; 4] = [0.1, -0.2, 0.3, 0.4];
pub const W2: [f32; 4] = [1.0, -0.5, 0.25, 2.0];
pub const B2: [f32; 1] = [10.0];

/// `y = relu(x * W1 + B1) * W2 + B2` over rows of three.
pub fn mlp(batch: Dim) -> ModelProto {
    model(
        vec![value("x", DataType::Float, &[batch, Is(3)])],
        vec![
            floats("w1", &[3, 4], &W1),
            floats("b1", &[4], &B1),
            floats("w2", &[4, 1], &W2),
            floats("b2", &[1], &B2),
        ],
        vec![
            node("MatMul", &["x", "w1"], "h", vec![]),
            node("Add", &["h", "b1"], "hb", vec![]),
            node("Relu", &["hb"], "a", vec![]),
            node("MatMul", &["a", "w2"], "o", vec![]),
            node("Add", &["o", "b2"], "y", vec![]),
        ],
        vec![value("y", DataType::Float, &[batch, Is(1)])],
    )
}

/// What [`mlp`] answers, computed here.
pub fn mlp_answer(x: &[f32]) -> f32 {
    (0..4).fold(B2[0], |y, unit| {
        let sum = (0..3).fold(B1[unit], |sum, at| sum + x[at] * W1[at * 4 + unit]);
        y + sum.max(0.0) * W2[unit]
    })
}

pub const TABLE_ROWS: i64 = 5;

/// `minutes = [table[carrier], distance] * w`, where `carrier` is looked up inside the graph.
pub fn lookup(batch: Dim, other_batch: Dim) -> ModelProto {
    let table: Vec<f32> = (0..TABLE_ROWS * 2).map(|n| n as f32 * 0.5).collect();
    model(
        vec![
            value("carrier", DataType::Int64, &[batch]),
            value("distance", DataType::Float, &[other_batch, Is(1)]),
        ],
        vec![floats("table", &[TABLE_ROWS, 2], &table), floats("w", &[3, 1], &[1.0, 10.0, 0.125])],
        vec![
            node("Gather", &["table", "carrier"], "found", vec![int("axis", 0)]),
            node("Concat", &["found", "distance"], "features", vec![int("axis", 1)]),
            node("MatMul", &["features", "w"], "minutes", vec![]),
        ],
        vec![value("minutes", DataType::Float, &[batch, Is(1)])],
    )
}

/// What [`lookup`] answers, computed here.
pub fn lookup_answer(carrier: i64, distance: f32) -> f32 {
    let first = carrier as f32;
    first + (first + 0.5) * 10.0 + distance * 0.125
}

/// Doubles a tensor of a shape that the file fixes.
pub fn fixed() -> ModelProto {
    model(
        vec![value("x", DataType::Float, &[Is(2), Is(3)])],
        vec![floats("two", &[1], &[2.0])],
        vec![node("Mul", &["x", "two"], "y", vec![])],
        vec![value("y", DataType::Float, &[Is(2), Is(3)])],
    )
}

/// A convolution with padding, pooled and flattened, over images of 8 by 8.
pub fn convolution(batch: Dim) -> ModelProto {
    let kernel: Vec<f32> = (0..2 * 9).map(|n| (n as f32 - 8.0) * 0.1).collect();
    model(
        vec![value("image", DataType::Float, &[batch, Is(1), Is(8), Is(8)])],
        vec![floats("kernel", &[2, 1, 3, 3], &kernel), floats("head", &[2, 1], &[1.0, -2.0])],
        vec![
            node(
                "Conv",
                &["image", "kernel"],
                "seen",
                vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])],
            ),
            node("Relu", &["seen"], "active", vec![]),
            node("GlobalAveragePool", &["active"], "pooled", vec![]),
            node("Flatten", &["pooled"], "flat", vec![int("axis", 1)]),
            node("MatMul", &["flat", "head"], "score", vec![]),
        ],
        vec![value("score", DataType::Float, &[batch, Is(1)])],
    )
}

/// The three largest of eight numbers, which no plan has a step for.
pub fn largest(batch: Dim) -> ModelProto {
    let count = TensorProto {
        name: "count".to_owned(),
        dims: vec![1],
        data_type: DataType::Int64 as i32,
        int64_data: vec![3],
        ..TensorProto::default()
    };
    let mut largest = node("TopK", &["x", "count"], "y", vec![]);
    largest.output.push("which".to_owned());
    model(
        vec![value("x", DataType::Float, &[batch, Is(8)])],
        vec![count],
        vec![largest],
        vec![value("y", DataType::Float, &[batch, Is(3)])],
    )
}

/// Answers its input.
pub fn identity(element: DataType, dims: &[Dim]) -> ModelProto {
    model(
        vec![value("x", element, dims)],
        vec![],
        vec![node("Identity", &["x"], "y", vec![])],
        vec![value("y", element, dims)],
    )
}
