//! tract's graph into a plan.
//!
//! tract reads the file, checks it, infers shapes and simplifies; what is left are a few dozen
//! operators. Those that a plan has steps for become steps, one after another in the graph's
//! order; those of a loop's body become steps once for each turn. One that it has none for ends this,
//! and the model runs by tract, from the same package. What comes of it is tidied, and values share
//! memory. Start with [`lower`].

mod einsum;
mod graph;
mod nodes;
mod recurrent;
mod scan;
mod slots;
mod tidy;
mod views;
mod windows;

use tract_onnx::prelude::TypedModel;

use crate::plan::Plan;

/// A plan whose weights are not packed yet.
pub(crate) struct Lowered {
    pub(crate) plan: Plan,
    pub(crate) constants: Vec<u8>,
    pub(crate) matrices: Vec<Weights>,
}

/// A matrix, row after row, and its bias.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub(crate) inner: usize,
    pub(crate) columns: usize,
    pub(crate) numbers: Vec<f32>,
    pub(crate) bias: Option<Vec<f32>>,
}

/// Why a graph has no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operator} at node `{node}`: {detail}")]
pub(crate) struct NoPlan {
    pub(crate) operator: String,
    pub(crate) node: String,
    pub(crate) detail: String,
}

/// The plan of a graph that tract has simplified and not yet optimised for itself.
pub(crate) fn lower(model: &TypedModel) -> Result<Lowered, NoPlan> {
    let mut lowering = graph::Lowering::new(model)?;
    let order = model.eval_order().map_err(|error| NoPlan {
        operator: "graph".to_owned(),
        node: String::new(),
        detail: error.to_string(),
    })?;
    for node in order {
        let node = model.node(node);
        lowering.node(node).map_err(|detail| NoPlan {
            operator: node.op.name().into_owned(),
            node: node.name.clone(),
            detail,
        })?;
    }
    lowering.finish()
}
