//! A model that runs from its package, or from its base's and what its own changes of it.

use std::{any::Any, sync::Arc};

use artifact::{Derived, Package};
use tenancy::Digest;

use super::{
    Workspaces,
    adapter::Adapter,
    base::Base,
    confined::confined,
    run::{self, Own, Parts, Shared, Steps},
};
use crate::{
    InferError, Inputs, Limits, LoadError, Model, Outputs, Part, Signature, TensorSpec,
    changes::PackedChanges, join, plan::PackedPlan,
};

/// What a model takes in memory beside its signature and its file, rounded up.
const OWN_BYTES: u64 = 1024;

/// A model that runs by a plan, and what a backend for another processor needs of it.
pub struct PlannedModel {
    base: Arc<Base>,
    adapter: Option<Adapter>,
    signature: Signature,
}

impl PlannedModel {
    pub(super) fn load(
        plan: PackedPlan,
        limits: Limits,
        workspaces: Arc<Workspaces>,
        repacked: Option<&Derived>,
    ) -> Result<Self, LoadError> {
        let signature = signature(plan.package())?;
        let base = Base::load(plan, limits, workspaces, repacked, signature.is_batched())?;
        Ok(Self { base: Arc::new(base), adapter: None, signature })
    }

    /// A package of changes over this model, which has to be no such one itself.
    pub(super) fn load_over(&self, package: Package) -> Result<Self, LoadError> {
        if self.adapter.is_some() {
            return Err(LoadError::NoBasePlan);
        }
        let signature = signature(&package)?;
        let adapter = Adapter::open(package, &self.base)?;
        Ok(Self { base: Arc::clone(&self.base), adapter: Some(adapter), signature })
    }

    /// A model that is one of these.
    pub(super) fn of(model: &dyn Model) -> Option<&Self> {
        let any: &dyn Any = model;
        any.downcast_ref()
    }

    pub(super) fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// Answers `inputs`, of which `parts` says whose rows they are: all those of this one's where
    /// there are none.
    fn answer(
        &self,
        inputs: &Inputs,
        parts: &[Part<'_>],
        outputs: &mut Outputs,
    ) -> Result<(), InferError> {
        let base = &*self.base;
        let batch = self.signature.check(inputs, base.max_batch())?;
        let parts = match parts {
            [] => Parts::All(Own(self.adapter())),
            parts => Parts::Each(parts, rows_of(parts, batch)?),
        };
        let helpers = &base.workspaces().helpers;
        let _busy = helpers.busy();
        let mut workspace = base.workspaces().take();
        // A plan is data from outside. A panic over it would be a fault of this crate, and must
        // not cost more than the request; the workspace that saw it is dropped.
        confined(|| {
            let shared = Shared { matrices: base.matrices(), helpers, parts };
            run::run(base.plan(), shared, inputs, base.limits(), &mut workspace)?;
            outputs.write(batch, &self.signature, |at| {
                let value =
                    base.plan().plan().outputs.get(at).map_or(u32::MAX, |it| it.to_native());
                workspace.output(base.plan(), inputs, value, parts).map_err(run::failed)
            })?;
            base.workspaces().give_back(workspace);
            Ok(())
        })
        .map_err(|detail| InferError::Panicked { detail })?
    }
}

impl PlannedModel {
    /// The plan, with the package that it is in: the base's where it is an adapter.
    pub fn plan(&self) -> &PackedPlan {
        self.base.plan()
    }

    /// What it changes of its base, where it has one.
    pub fn changes(&self) -> Option<&PackedChanges> {
        self.adapter().map(Adapter::changes)
    }

    /// Whether its rows may be run with those of others of its base.
    pub fn is_joinable(&self) -> bool {
        match &self.adapter {
            Some(adapter) => adapter.is_joinable(),
            None => self.base.rows().is_some(),
        }
    }

    /// What every request is held to.
    pub fn limits(&self) -> Limits {
        self.base.limits()
    }

    /// Its steps, to be done one at a time.
    pub fn steps(&self) -> Steps<'_> {
        let (matrices, helpers) = (self.base.matrices(), &self.base.workspaces().helpers);
        let shared = Shared { matrices, helpers, parts: Parts::All(Own(self.adapter())) };
        Steps { plan: self.base.plan(), shared, scratch: kernels::Scratch::default() }
    }
}

impl Model for PlannedModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn max_batch(&self) -> u64 {
        self.base.max_batch()
    }

    fn infer(&self, inputs: Inputs) -> Result<Outputs, InferError> {
        let mut outputs = Outputs::default();
        self.answer(&inputs, &[], &mut outputs)?;
        Ok(outputs)
    }

    fn infer_into(&self, inputs: &Inputs, outputs: &mut Outputs) -> Result<(), InferError> {
        self.answer(inputs, &[], outputs)
    }

    fn family(&self) -> Option<Digest> {
        self.is_joinable().then(|| self.base.digest())
    }

    fn infer_together(
        &self,
        inputs: &Inputs,
        parts: &[Part<'_>],
        outputs: &mut Outputs,
    ) -> Result<(), InferError> {
        let family = self.family();
        let is_of_it = |part: &Part<'_>| {
            Self::of(part.model).is_some_and(|it| family.is_some() && it.family() == family)
        };
        if parts.is_empty() || !parts.iter().all(is_of_it) {
            *outputs = join::one_after_another(inputs, parts)?;
            return Ok(());
        }
        self.answer(inputs, parts, outputs)
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
        let rest = match &self.adapter {
            Some(adapter) => adapter.private_bytes(),
            None => self.base.private_bytes(),
        };
        OWN_BYTES + kept + rest
    }

    fn mapped_bytes(&self) -> u64 {
        match &self.adapter {
            Some(_) => 0,
            None => self.base.matrices().mapped_bytes(),
        }
    }
}

/// How many rows the parts have together, which is how many there are.
fn rows_of(parts: &[Part<'_>], batch: u64) -> Result<usize, InferError> {
    let rows = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.rows));
    let rows = rows.filter(|rows| *rows == batch).and_then(|rows| usize::try_from(rows).ok());
    rows.ok_or_else(|| InferError::Failed {
        detail: format!("expected parts of {batch} rows together, found {rows:?}"),
    })
}

fn signature(package: &Package) -> Result<Signature, LoadError> {
    let header = package.header();
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
    let mut signature = Signature {
        inputs: header.inputs.iter().map(spec).collect::<Result<_, _>>()?,
        outputs: header.outputs.iter().map(spec).collect::<Result<_, _>>()?,
        metadata: metadata.map(|it| (it.0.as_str().to_owned(), it.1.as_str().to_owned())).collect(),
    };
    super::say_trained_on(package, &mut signature);
    Ok(signature)
}
