//! A model that runs from its package.

use std::sync::Arc;

use artifact::Derived;

use super::{
    Workspaces,
    confined::confined,
    matrices::Matrices,
    run::{self, Shared, Steps},
};
use crate::{
    InferError, Inputs, Limits, LoadError, Model, Outputs, Signature, TensorSpec,
    plan::{ArchivedPlace, PackedPlan},
};

/// What a model takes in memory beside its signature and its file, rounded up.
const OWN_BYTES: u64 = 1024;

/// A model that runs by a plan, and what a backend for another processor needs of it.
pub struct PlannedModel {
    plan: PackedPlan,
    signature: Signature,
    matrices: Matrices,
    max_batch: u64,
    limits: Limits,
    workspaces: Arc<Workspaces>,
}

impl PlannedModel {
    pub(super) fn load(
        plan: PackedPlan,
        limits: Limits,
        workspaces: Arc<Workspaces>,
        repacked: Option<&Derived>,
    ) -> Result<Self, LoadError> {
        let mut signature = signature(&plan)?;
        super::say_trained_on(plan.package(), &mut signature);
        let matrices = Matrices::of(&plan, repacked)?;
        let max_batch = batch_within(&plan, limits)?;
        Ok(Self { plan, signature, matrices, max_batch, limits, workspaces })
    }

    fn answer(&self, inputs: &Inputs, outputs: &mut Outputs) -> Result<(), InferError> {
        let batch = self.signature.check(inputs, self.max_batch)?;
        let helpers = &self.workspaces.helpers;
        let _busy = helpers.busy();
        let mut workspace = self.workspaces.take();
        // A plan is data from outside. A panic over it would be a fault of this crate, and must
        // not cost more than the request; the workspace that saw it is dropped.
        confined(|| {
            let shared = Shared { matrices: &self.matrices, helpers };
            run::run(&self.plan, shared, inputs, self.limits, &mut workspace)?;
            outputs.write(batch, &self.signature, |at| {
                let value = self.plan.plan().outputs.get(at).map_or(u32::MAX, |it| it.to_native());
                workspace.output(&self.plan, inputs, value).map_err(run::failed)
            })?;
            self.workspaces.give_back(workspace);
            Ok(())
        })
        .map_err(|detail| InferError::Panicked { detail })?
    }
}

impl PlannedModel {
    /// The plan, with the package that it is in.
    pub const fn plan(&self) -> &PackedPlan {
        &self.plan
    }

    /// What every request is held to.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Its steps, to be done one at a time.
    pub fn steps(&self) -> Steps<'_> {
        let shared = Shared { matrices: &self.matrices, helpers: &self.workspaces.helpers };
        Steps { plan: &self.plan, shared, scratch: kernels::Scratch::default() }
    }
}

impl Model for PlannedModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn max_batch(&self) -> u64 {
        self.max_batch
    }

    fn infer(&self, inputs: Inputs) -> Result<Outputs, InferError> {
        let mut outputs = Outputs::default();
        self.answer(&inputs, &mut outputs)?;
        Ok(outputs)
    }

    fn infer_into(&self, inputs: &Inputs, outputs: &mut Outputs) -> Result<(), InferError> {
        self.answer(inputs, outputs)
    }

    fn private_bytes(&self) -> u64 {
        let spec = |spec: &TensorSpec| {
            let names = spec.names.iter().flatten().map(String::len).sum::<usize>();
            size_of::<TensorSpec>() + spec.name.len() + names + spec.shape.len() * 32
        };
        let signature = self.signature.inputs.iter().chain(&self.signature.outputs).map(spec);
        let metadata =
            self.signature.metadata.iter().map(|(key, value)| key.len() + value.len() + 64);
        let kept = signature.chain(metadata).sum::<usize>() as u64;
        OWN_BYTES + kept + self.matrices.private_bytes()
    }

    fn mapped_bytes(&self) -> u64 {
        self.matrices.mapped_bytes()
    }
}

fn signature(plan: &PackedPlan) -> Result<Signature, LoadError> {
    let header = plan.package().header();
    let spec = |tensor: &artifact::ArchivedTensor| -> Result<TensorSpec, LoadError> {
        let datatype = tensor.datatype.parse().map_err(|_| LoadError::UnsupportedDataType {
            tensor: tensor.name.as_str().to_owned(),
            found: tensor.datatype.as_str().to_owned(),
        })?;
        let shape = tensor.shape.iter().map(|dim| dim.to_native()).collect();
        let mut spec = TensorSpec::new(tensor.name.as_str(), datatype, shape);
        for (to, name) in spec.names.iter_mut().zip(tensor.names.iter()) {
            *to = (!name.is_empty()).then(|| name.as_str().to_owned());
        }
        Ok(spec)
    };
    let metadata = header.metadata.iter();
    Ok(Signature {
        inputs: header.inputs.iter().map(spec).collect::<Result<_, _>>()?,
        outputs: header.outputs.iter().map(spec).collect::<Result<_, _>>()?,
        metadata: metadata.map(|it| (it.0.as_str().to_owned(), it.1.as_str().to_owned())).collect(),
    })
}

/// The most rows with which no tensor of the plan passes the limit; sizes are taken to grow with
/// the batch at most linearly, as every row is computed for itself.
fn batch_within(plan: &PackedPlan, limits: Limits) -> Result<u64, LoadError> {
    let plan = plan.plan();
    let ones = vec![1; plan.symbols.len()];
    let mut largest = 1;
    for (at, value) in plan.values.iter().enumerate() {
        if !matches!(value.place, ArchivedPlace::Slot(_)) {
            continue;
        }
        let element = value.kind.bytes() as u64;
        let bytes = value.shape.iter().fold(element, |bytes, dim| {
            let dim = plan.dimensions.get(dim.to_native() as usize);
            let dim = dim.and_then(|dim| dim.evaluate(&ones)).unwrap_or(1);
            bytes.saturating_mul(dim as u64)
        });
        let limit = limits.max_tensor_bytes;
        if bytes > limit {
            return Err(LoadError::TensorTooLarge { node: format!("value {at}"), bytes, limit });
        }
        largest = largest.max(bytes);
    }
    Ok(limits.max_batch.min((limits.max_tensor_bytes / largest).max(1)))
}
