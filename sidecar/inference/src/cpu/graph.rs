//! An ONNX file, read and made fit for tract.

use std::collections::BTreeMap;

use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, TensorShapeProto, ValueInfoProto, tensor_proto,
    tensor_shape_proto::{Dimension, dimension::Value as Dim},
    type_proto,
};

use super::{backwards, confined::shortened, misread, recurrent};
use crate::{DataType, LoadError, TensorSpec};

/// An ONNX file, with what its graph declares, in the file's order.
pub(super) struct Graph {
    /// The file, its symbolic dimensions taken out of all inputs.
    pub(super) proto: ModelProto,
    pub(super) inputs: Vec<TensorSpec>,
    pub(super) outputs: Vec<String>,
    pub(super) metadata: BTreeMap<String, String>,
    /// The names of nodes whose loops [`backwards::turn`] has to turn.
    pub(super) backwards: Vec<String>,
}

impl Graph {
    pub(super) fn read(onnx: &[u8]) -> Result<Self, LoadError> {
        let mut proto = ModelProto::decode(onnx)
            .map_err(|error| LoadError::NotOnnx { detail: shortened(&error.to_string()) })?;
        let opset = proto.opset_import.iter().find(|it| matches!(&*it.domain, "" | "ai.onnx"));
        let opset = opset.map_or(0, |it| it.version);
        let graph = proto.graph.as_mut().ok_or(LoadError::NoGraph)?;
        let inputs = declared_inputs(graph)?;
        let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
        if outputs.is_empty() {
            return Err(LoadError::NoGraph);
        }
        refuse_duplicates(inputs.iter().map(|input| input.name.as_str()))?;
        refuse_duplicates(outputs.iter().map(String::as_str))?;
        forget_symbols(graph);
        misread::mend(graph)?;
        let backwards = backwards::straighten(graph, opset);
        recurrent::refuse_misread(graph)?;
        recurrent::give_initial_states(graph);
        let metadata = std::mem::take(&mut proto.metadata_props)
            .into_iter()
            .map(|p| (p.key, p.value))
            .collect();
        Ok(Self { proto, inputs, outputs, metadata, backwards })
    }
}

/// The inputs that a caller gives: those that no initializer gives. Files up to ONNX IR version 3
/// list their weights as inputs too.
fn declared_inputs(graph: &GraphProto) -> Result<Vec<TensorSpec>, LoadError> {
    graph
        .input
        .iter()
        .filter(|input| !graph.initializer.iter().any(|given| given.name == input.name))
        .map(declared)
        .collect()
}

fn declared(input: &ValueInfoProto) -> Result<TensorSpec, LoadError> {
    let undeclared = |missing| LoadError::UndeclaredInput { input: input.name.clone(), missing };
    let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_ref().and_then(|r#type| r#type.value.as_ref())
    else {
        return Err(undeclared("datatype"));
    };
    let datatype = datatype(tensor.elem_type).ok_or_else(|| LoadError::UnsupportedDataType {
        tensor: input.name.clone(),
        found: format!("ONNX element type {}", tensor.elem_type),
    })?;
    let shape = tensor.shape.as_ref().ok_or_else(|| undeclared("shape"))?;
    let mut spec = TensorSpec::new(
        &input.name,
        datatype,
        shape
            .dim
            .iter()
            .map(|dim| match dim.value {
                Some(Dim::DimValue(fixed)) if fixed >= 0 => fixed,
                _ => -1,
            })
            .collect(),
    );
    spec.names = shape.dim.iter().map(name_of).collect();
    Ok(spec)
}

fn name_of(dim: &Dimension) -> Option<String> {
    match &dim.value {
        Some(Dim::DimParam(name)) if !name.is_empty() && name != "?" => Some(name.clone()),
        _ => None,
    }
}

fn datatype(element: i32) -> Option<DataType> {
    use tensor_proto::DataType as Onnx;
    Some(match Onnx::try_from(element).ok()? {
        Onnx::Bool => DataType::Bool,
        Onnx::Uint8 => DataType::Uint8,
        Onnx::Uint16 => DataType::Uint16,
        Onnx::Uint32 => DataType::Uint32,
        Onnx::Uint64 => DataType::Uint64,
        Onnx::Int8 => DataType::Int8,
        Onnx::Int16 => DataType::Int16,
        Onnx::Int32 => DataType::Int32,
        Onnx::Int64 => DataType::Int64,
        Onnx::Float16 => DataType::Fp16,
        Onnx::Float => DataType::Fp32,
        Onnx::Double => DataType::Fp64,
        Onnx::String => DataType::Bytes,
        _ => return None,
    })
}

fn refuse_duplicates<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), LoadError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(LoadError::DuplicateName { name: name.to_owned() });
        }
    }
    Ok(())
}

/// Takes the symbolic dimensions out of every input, in subgraphs too.
///
/// tract would parse each as an arithmetic expression, by recursion without a bound, so a file
/// could overflow the stack, which nothing catches. What the symbols of the outer graph say was
/// read before; those of subgraphs are inferred again. Decoding bounds the depth of subgraphs.
fn forget_symbols(graph: &mut GraphProto) {
    for input in &mut graph.input {
        if let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
            && let Some(TensorShapeProto { dim }) = &mut tensor.shape
        {
            for dim in dim {
                if matches!(dim.value, Some(Dim::DimParam(_))) {
                    dim.value = None;
                }
            }
        }
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(forget_symbols);
    }
}
