//! Nodes of ONNX graphs, read and written.

use tract_onnx::pb::{
    AttributeProto, NodeProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType,
};

pub(super) fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|it| it.name == name)
}

pub(super) fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|it| it.i)
}

pub(super) fn float(node: &NodeProto, name: &str) -> Option<f32> {
    attribute(node, name).map(|it| it.f)
}

pub(super) fn text<'n>(node: &'n NodeProto, name: &str) -> Option<&'n [u8]> {
    attribute(node, name).map(|it| &*it.s)
}

/// Whether a node is given its input of this position.
pub(super) fn has_input(node: &NodeProto, at: usize) -> bool {
    node.input.get(at).is_some_and(|it| !it.is_empty())
}

/// A node that is named as its output is.
pub(super) fn operator(op: &str, inputs: &[&String], output: &str) -> NodeProto {
    NodeProto {
        name: output.to_owned(),
        op_type: op.to_owned(),
        input: inputs.iter().map(|it| (*it).clone()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

/// The attribute `axis`.
pub(super) fn along(axis: i64) -> AttributeProto {
    AttributeProto {
        name: "axis".to_owned(),
        r#type: AttributeType::Int as i32,
        i: axis,
        ..AttributeProto::default()
    }
}

/// A tensor of one 64-bit integer.
pub(super) fn one_integer(name: String, number: i64) -> TensorProto {
    TensorProto {
        name,
        dims: vec![1],
        data_type: DataType::Int64 as i32,
        int64_data: vec![number],
        ..TensorProto::default()
    }
}
