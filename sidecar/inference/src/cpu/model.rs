//! One model, as tract runs it.

use std::{collections::BTreeMap, sync::Arc};

use tract_onnx::{
    prelude::{
        DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, RunOptions,
        SpecialOps, Symbol, SymbolValues, TDim, TractError, TypedFact, TypedModel,
        TypedRunnableModel, multithread,
    },
    tract_core::ops::{cast::cast, konst::Const, scan::Scan},
};

use super::{
    Workspaces, backwards,
    confined::{confined, shortened},
    convert, edges,
    graph::Graph,
};
use crate::{
    InferError, Inputs, Limits, LoadError, Model, Outputs, Signature, TensorSpec, operators,
};

/// What tract keeps for a node beside its tensors: measured in the hundreds of bytes, rounded up.
const BYTES_PER_NODE: u64 = 2048;

pub(super) struct CpuModel {
    plan: Arc<TypedRunnableModel>,
    pub(super) signature: Signature,
    max_batch: u64,
    private_bytes: u64,
    unoptimised: Option<String>,
    workspaces: Arc<Workspaces>,
}

/// A file that tract could read: its graph, typed, and what it declares.
pub(crate) struct Typed {
    pub(crate) graph: TypedModel,
    pub(crate) signature: Signature,
}

impl Typed {
    /// Reads an ONNX file.
    pub(crate) fn read(onnx: &[u8]) -> Result<Self, LoadError> {
        let Graph { proto, inputs, outputs, metadata, backwards } = Graph::read(onnx)?;
        let graph = attempt(|| {
            let model = operators::onnx().model_for_proto_model(&proto)?;
            let mut typed = with_declared_inputs(model, &inputs)?.into_typed()?;
            backwards::turn(&mut typed, &backwards)?;
            with_countable_outputs(typed)
        })?;
        let outputs = answered(&graph, outputs)?;
        Ok(Self { graph, signature: Signature { inputs, outputs, metadata } })
    }

    /// The graph as simple as tract can make it without choosing kernels.
    pub(crate) fn simplified(&self) -> Result<TypedModel, LoadError> {
        attempt(|| self.graph.clone().into_decluttered())
    }
}

impl CpuModel {
    pub(super) fn load(
        onnx: &[u8],
        limits: Limits,
        workspaces: Arc<Workspaces>,
    ) -> Result<Self, LoadError> {
        let Typed { graph: mut typed, mut signature } = Typed::read(onnx)?;
        refuse_loops_in_loops(&typed)?;
        attempt(|| edges::put_right(&mut typed))?;
        let max_batch = batch_within(&typed, limits)?;
        let (optimised, unoptimised) = match attempt(|| typed.clone().into_optimized()) {
            Ok(optimised) => (optimised, None),
            Err(refusal) => {
                tracing::warn!(%refusal, "a model runs without optimisation, slower than it could");
                (typed, Some(refusal.to_string()))
            }
        };
        let names = signature.outputs.into_iter().map(|spec| spec.name).collect();
        signature.outputs = answered(&optimised, names)?;
        let private_bytes = kept_bytes(&optimised, onnx.len() as u64);
        let options = RunOptions {
            executor: Some(multithread::Executor::SingleThread),
            ..RunOptions::default()
        };
        let plan = attempt(|| optimised.into_runnable_with_options(&options))?;
        Ok(Self { plan, signature, max_batch, private_bytes, unoptimised, workspaces })
    }
}

impl Model for CpuModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn max_batch(&self) -> u64 {
        self.max_batch
    }

    fn infer(&self, mut inputs: Inputs) -> Result<Outputs, InferError> {
        let batch = self.signature.check(&inputs, self.max_batch)?;
        let given = self
            .signature
            .inputs
            .iter()
            .filter_map(|spec| inputs.take(&spec.name))
            .map(convert::to_tract)
            .collect::<Result<_, _>>()?;
        // tract runs on this thread alone, on a core that is nobody else's to help with.
        let _busy = self.workspaces.helpers.busy();
        // Each run has a state of its own, so a panic leaves nothing behind in the plan.
        let answers = confined(|| self.plan.run(given))
            .map_err(|detail| InferError::Panicked { detail })?
            .map_err(|error| convert::failed(&error))?;
        let tensors = self
            .signature
            .outputs
            .iter()
            .zip(&answers)
            .map(|(spec, answer)| convert::from_tract(&spec.name, answer))
            .collect::<Result<_, _>>()?;
        Ok(Outputs::new(batch, tensors))
    }

    fn private_bytes(&self) -> u64 {
        self.private_bytes
    }

    fn unoptimised(&self) -> Option<&str> {
        self.unoptimised.as_deref()
    }
}

/// A loop in a loop goes on in tract where it ended in the turn before, and not from its first state.
fn refuse_loops_in_loops(model: &TypedModel) -> Result<(), LoadError> {
    for node in model.nodes() {
        let Some(outer) = node.op_as::<Scan>() else { continue };
        if outer.body.nodes().iter().any(|inner| inner.op_is::<Scan>()) {
            let detail = format!(
                "expected no loop in the loop `{}`, found one: its sequences need lengths that are \
                 fixed, and a package",
                node.name
            );
            return Err(LoadError::Graph { detail: shortened(&detail) });
        }
    }
    Ok(())
}

/// Runs a step of tract's that a hostile file could make fail in any way.
fn attempt<T>(step: impl FnOnce() -> Result<T, TractError>) -> Result<T, LoadError> {
    confined(step)
        .map_err(|detail| LoadError::Panicked { detail })?
        .map_err(|error| LoadError::Graph { detail: shortened(&format!("{error:#}")) })
}

/// Gives each input the shape that the file declares, with one symbol for the batch and one for
/// each other open dimension; equal names share a symbol.
fn with_declared_inputs(
    mut model: InferenceModel,
    inputs: &[TensorSpec],
) -> Result<InferenceModel, TractError> {
    let batch = model.symbols.sym("batch");
    model.symbols.add_assertion("batch>=1")?;
    let mut named: BTreeMap<&str, Symbol> = BTreeMap::new();
    for (at, spec) in inputs.iter().enumerate() {
        let mut shape: Vec<TDim> = vec![];
        for (axis, dim) in spec.shape.iter().enumerate() {
            shape.push(match (axis, *dim) {
                (0, -1) => TDim::from(&batch),
                (_, -1) => {
                    let fresh = || model.symbols.new_with_prefix("open");
                    TDim::from(match spec.names.get(axis) {
                        Some(Some(name)) => named.entry(name).or_insert_with(fresh).clone(),
                        _ => fresh(),
                    })
                }
                (_, fixed) => TDim::from(fixed),
            });
        }
        model.set_input_fact(
            at,
            InferenceFact::dt_shape(convert::datum_type(spec.datatype), shape),
        )?;
    }
    Ok(model)
}

/// Casts outputs that count dimensions to INT64, which is what ONNX says that they are: tract keeps
/// them as expressions, which a run knows how to resolve and a finished answer does not.
fn with_countable_outputs(mut model: TypedModel) -> Result<TypedModel, TractError> {
    let mut outputs = model.output_outlets()?.to_vec();
    for (at, output) in outputs.iter_mut().enumerate() {
        if model.outlet_fact(*output)?.datum_type == DatumType::TDim {
            let name = model.unique_name(format!("output{at}.int64"));
            if let [counted] = *model.wire_node(name, cast(DatumType::I64), &[*output])? {
                *output = counted;
            }
        }
    }
    model.select_output_outlets(&outputs)?;
    Ok(model)
}

/// The most rows with which no tensor of the graph passes the limit, as far as shapes tell. Sizes
/// are taken to grow with the batch at most linearly, as every row is computed for itself.
fn batch_within(model: &TypedModel, limits: Limits) -> Result<u64, LoadError> {
    let one_row = model
        .symbols
        .all_symbols()
        .iter()
        .fold(SymbolValues::default(), |values, symbol| values.with(symbol, 1));
    let mut largest = 1;
    // Constants are there already, and do not grow.
    for node in model.nodes().iter().filter(|node| !node.op_is::<Const>()) {
        for output in &node.outputs {
            let bytes = bytes_of(&output.fact, &one_row);
            if bytes > limits.max_tensor_bytes {
                let (node, limit) = (node.name.clone(), limits.max_tensor_bytes);
                return Err(LoadError::TensorTooLarge { node, bytes, limit });
            }
            largest = largest.max(bytes);
        }
    }
    Ok(limits.max_batch.min((limits.max_tensor_bytes / largest).max(1)))
}

fn bytes_of(fact: &TypedFact, values: &SymbolValues) -> u64 {
    let element = fact.datum_type.size_of() as u64;
    fact.shape.iter().fold(element, |bytes, dim| {
        // A size that depends on values is not known before them.
        let dim = dim.eval_to_i64(values).ok().and_then(|dim| u64::try_from(dim).ok()).unwrap_or(1);
        bytes.saturating_mul(dim)
    })
}

/// The outputs with the types that the graph really gives, which a file may leave out or misstate.
fn answered(model: &TypedModel, names: Vec<String>) -> Result<Vec<TensorSpec>, LoadError> {
    names
        .into_iter()
        .enumerate()
        .map(|(at, name)| {
            let fact = attempt(|| model.output_fact(at))?;
            let Some(datatype) = convert::datatype(fact.datum_type) else {
                let found = format!("{:?}", fact.datum_type);
                return Err(LoadError::UnsupportedDataType { tensor: name, found });
            };
            let shape = fact.shape.iter().map(|dim| dim.to_i64().unwrap_or(-1)).collect();
            Ok(TensorSpec::new(name, datatype, shape))
        })
        .collect()
}

/// What the plan keeps in memory: its constants, packed for the kernels, which are never fewer
/// bytes than the file's weights.
fn kept_bytes(model: &TypedModel, file_bytes: u64) -> u64 {
    let constants = model
        .nodes()
        .iter()
        .filter_map(|node| node.op_as::<Const>())
        .map(|constant| (constant.val().volume() * constant.val().datum_type().size_of()) as u64)
        .fold(0, u64::saturating_add);
    constants.max(file_bytes) + BYTES_PER_NODE * model.nodes().len() as u64
}
