//! Recurrent operators: those that tract takes for others are refused, and the rest get the initial
//! state that ONNX says they have where none is given.
//!
//! tract makes such a state itself, and panics where the batch is not a number yet. A state of
//! zeros, as large as the batch is when a request comes, says the same in operators that it types.

use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType,
    tensor_proto::DataType,
};

use super::{
    confined::shortened,
    nodes::{along, has_input, integer, one_integer, operator, text},
};
use crate::LoadError;

/// Inputs of `LSTM`, `GRU` and `RNN`, by their positions.
const SEQUENCE_LENGTHS: usize = 4;
pub(super) const INITIAL_H: usize = 5;
pub(super) const INITIAL_C: usize = 6;

/// How a recurrent operator reads its sequences: `forward`, `reverse` or `bidirectional`.
pub(super) fn direction(node: &NodeProto) -> &[u8] {
    text(node, "direction").unwrap_or(b"forward")
}

/// Whether each of its sequences has a length of its own.
pub(super) fn has_lengths(node: &NodeProto) -> bool {
    has_input(node, SEQUENCE_LENGTHS)
}

/// Whether the batch comes before the sequence, and the directions behind it.
pub(super) fn is_batch_first(node: &NodeProto) -> bool {
    integer(node, "layout") == Some(1)
}

/// Refuses what tract would answer wrongly without a word, of what [`super::backwards`] left: a sequence
/// that is read backwards alone is read forwards, and a GRU that is read both ways, or with lengths,
/// answers something else.
pub(super) fn refuse_misread(graph: &GraphProto) -> Result<(), LoadError> {
    for node in &graph.node {
        let (direction, has_lengths) = (direction(node), has_lengths(node));
        let is_misread = match node.op_type.as_str() {
            "GRU" => direction != b"forward" || has_lengths,
            "LSTM" | "RNN" => direction == b"reverse",
            _ => false,
        };
        if is_misread {
            let found = if has_lengths {
                "over sequences with lengths of their own"
            } else {
                "with activations that have numbers of their own, in an ONNX opset before 10, or in the \
                 body of a loop"
            };
            let detail = format!(
                "expected {} `{}` to read whole sequences forwards, found that it reads {} {found}",
                node.op_type,
                node.name,
                String::from_utf8_lossy(direction),
            );
            return Err(LoadError::Graph { detail: shortened(&detail) });
        }
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).try_for_each(refuse_misread)?;
        }
    }
    Ok(())
}

pub(super) fn give_initial_states(graph: &mut GraphProto) {
    let mut nodes = Vec::with_capacity(graph.node.len());
    for (at, mut node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        let states: &[usize] = match node.op_type.as_str() {
            "LSTM" => &[INITIAL_H, INITIAL_C],
            "GRU" | "RNN" => &[INITIAL_H],
            _ => &[],
        };
        let missing = |slot: &&usize| node.input.get(**slot).is_none_or(String::is_empty);
        let missing: Vec<usize> = states.iter().filter(missing).copied().collect();
        if !missing.is_empty()
            && let Some(state) = zeros(&node, at, graph, &mut nodes)
        {
            for slot in missing {
                if node.input.len() <= slot {
                    node.input.resize(slot + 1, String::new());
                }
                if let Some(input) = node.input.get_mut(slot) {
                    input.clone_from(&state);
                }
            }
        }
        nodes.push(node);
    }
    graph.node = nodes;
}

/// Adds what makes a state of zeros for `node`, and gives its name.
fn zeros(
    node: &NodeProto,
    at: usize,
    graph: &mut GraphProto,
    nodes: &mut Vec<NodeProto>,
) -> Option<String> {
    let hidden = integer(node, "hidden_size")?;
    let directions = 1 + i64::from(direction(node) == b"bidirectional");
    let batch_first = is_batch_first(node);
    let name = |what: &str| format!("bulkhead.{at}.{what}");
    let mut constant = |what: &str, value: i64| {
        let name = name(what);
        graph.initializer.push(one_integer(name.clone(), value));
        name
    };
    let axis = constant("axis", i64::from(!batch_first));
    let (directions, hidden) = (constant("directions", directions), constant("hidden", hidden));
    let (shape, batch, dims, state) = (name("shape"), name("batch"), name("dims"), name("state"));
    nodes.push(operator("Shape", &[node.input.first()?], &shape));
    nodes.push(operator("Gather", &[&shape, &axis], &batch));
    let parts =
        if batch_first { [&batch, &directions, &hidden] } else { [&directions, &batch, &hidden] };
    nodes.push(NodeProto { attribute: vec![along(0)], ..operator("Concat", &parts, &dims) });
    let zero = TensorProto {
        dims: vec![1],
        data_type: DataType::Float as i32,
        float_data: vec![0.0],
        ..TensorProto::default()
    };
    let of_zeros = AttributeProto {
        name: "value".to_owned(),
        r#type: AttributeType::Tensor as i32,
        t: Some(zero),
        ..AttributeProto::default()
    };
    let made = operator("ConstantOfShape", &[&dims], &state);
    nodes.push(NodeProto { attribute: vec![of_zeros], ..made });
    Some(state)
}
