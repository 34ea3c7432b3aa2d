//! Operators of which tract passes over a part: said in others, or refused.
//!
//! tract reads the attributes that it knows and no others, so that a node with a newer one is
//! taken for the older operator. Recurrent operators are in `recurrent.rs`.

use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType,
    tensor_proto::DataType,
};

use super::{
    confined::shortened,
    nodes::{float, has_input, integer, operator, text},
};
use crate::LoadError;

/// The input of `Attention` that holds the keys of before.
const PAST_KEY: usize = 4;

/// Mends what can be said otherwise, in subgraphs too.
///
/// # Errors
/// [`LoadError::Graph`] for a node that would be answered wrongly.
pub(super) fn mend(graph: &mut GraphProto) -> Result<(), LoadError> {
    let mut nodes = Vec::with_capacity(graph.node.len());
    for (at, mut node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        if let Some(part) = passed_over(&node) {
            let detail = format!(
                "expected {} `{}` without {part}, which is not computed here, found one with it",
                node.op_type, node.name
            );
            return Err(LoadError::Graph { detail: shortened(&detail) });
        }
        for inner in node.attribute.iter_mut().flat_map(|it| it.g.iter_mut().chain(&mut it.graphs))
        {
            mend(inner)?;
        }
        match (node.op_type.as_str(), float(&node, "alpha")) {
            ("Swish", Some(alpha)) => nodes.extend(swish(&node, at, alpha).into_iter().flatten()),
            ("Celu", Some(alpha)) => nodes.extend(celu(&node, at, alpha).into_iter().flatten()),
            ("Softplus", _) => nodes.extend(softplus(&node, at).into_iter().flatten()),
            _ => nodes.push(node),
        }
    }
    graph.node = nodes;
    Ok(())
}

/// What of a node tract does not see.
fn passed_over(node: &NodeProto) -> Option<&'static str> {
    let is_set = |name: &str| integer(node, name).is_some_and(|it| it != -1);
    let has_past = has_input(node, PAST_KEY);
    match node.op_type.as_str() {
        "Attention" if is_set("left_window_size") || is_set("right_window_size") => {
            Some("a window")
        }
        "Attention" if integer(node, "is_causal") == Some(1) && has_past => {
            Some("a causal mask over past keys")
        }
        "SpaceToDepth" if text(node, "mode") == Some(b"CRD") => Some("the mode CRD"),
        _ => None,
    }
}

/// `x · sigmoid(alpha · x)`, of which tract takes every `alpha` for 1.
fn swish(node: &NodeProto, at: usize, alpha: f32) -> Option<[NodeProto; 5]> {
    let (x, y) = (node.input.first()?, node.output.first()?);
    let name = |what: &str| format!("bulkhead.{at}.swish.{what}");
    let (alike, scaled, gate) = (name("alpha"), name("scaled"), name("gate"));
    let [given, cast] = number(alpha, x, &name("given"), &alike);
    Some([
        given,
        cast,
        operator("Mul", &[x, &alike], &scaled),
        operator("Sigmoid", &[&scaled], &gate),
        operator("Mul", &[x, &gate], y),
    ])
}

/// `max(0, x) + min(0, alpha · (exp(x / alpha) - 1))`, of which tract leaves out the factor. It is
/// `alpha` times the function for an `alpha` of 1, which is Elu, of `x / alpha`.
fn celu(node: &NodeProto, at: usize, alpha: f32) -> Option<[NodeProto; 5]> {
    let (x, y) = (node.input.first()?, node.output.first()?);
    let name = |what: &str| format!("bulkhead.{at}.celu.{what}");
    let (alike, scaled, unit) = (name("alpha"), name("scaled"), name("unit"));
    let [given, cast] = number(alpha, x, &name("given"), &alike);
    Some([
        given,
        cast,
        operator("Div", &[x, &alike], &scaled),
        operator("Elu", &[&scaled], &unit),
        operator("Mul", &[&unit, &alike], y),
    ])
}

/// `max(0, x) + ln(1 + exp(-|x|))`, which is `ln(1 + exp(x))` with no power that overflows.
fn softplus(node: &NodeProto, at: usize) -> Option<[NodeProto; 9]> {
    let (x, y) = (node.input.first()?, node.output.first()?);
    let name = |what: &str| format!("bulkhead.{at}.softplus.{what}");
    let (one, size, less) = (name("one"), name("size"), name("less"));
    let (power, sum, rest, above) = (name("power"), name("sum"), name("rest"), name("above"));
    let [given, cast] = number(1.0, x, &name("given"), &one);
    Some([
        given,
        cast,
        operator("Abs", &[x], &size),
        operator("Neg", &[&size], &less),
        operator("Exp", &[&less], &power),
        operator("Add", &[&power, &one], &sum),
        operator("Log", &[&sum], &rest),
        operator("Relu", &[x], &above),
        operator("Add", &[&above, &rest], y),
    ])
}

/// What makes a number of the kind of `like`.
fn number(number: f32, like: &String, given: &String, name: &str) -> [NodeProto; 2] {
    let value = AttributeProto {
        name: "value".to_owned(),
        r#type: AttributeType::Tensor as i32,
        t: Some(TensorProto {
            data_type: DataType::Float as i32,
            float_data: vec![number],
            ..TensorProto::default()
        }),
        ..AttributeProto::default()
    };
    [
        NodeProto { attribute: vec![value], ..operator("Constant", &[], given) },
        operator("CastLike", &[given, like], name),
    ]
}
