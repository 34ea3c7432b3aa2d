//! What models of one plan share: the plan, and the matrices that it is run by.

use std::sync::{Arc, OnceLock};

use artifact::Derived;
use tenancy::Digest;

use super::{Workspaces, matrices::Matrices};
use crate::{
    Limits, LoadError,
    plan::{ArchivedPlace, PackedPlan, Rows, rows},
};

/// A plan that can be run.
pub(super) struct Base {
    plan: PackedPlan,
    matrices: Matrices,
    max_batch: u64,
    limits: Limits,
    workspaces: Arc<Workspaces>,
    /// Whether all its inputs and outputs have the batch first.
    is_batched: bool,
    /// Found when it is first asked for; none where rows do not keep to themselves.
    rows: OnceLock<Option<Rows>>,
}

impl Base {
    pub(super) fn load(
        plan: PackedPlan,
        limits: Limits,
        workspaces: Arc<Workspaces>,
        repacked: Option<&Derived>,
        is_batched: bool,
    ) -> Result<Self, LoadError> {
        let matrices = Matrices::of(&plan, repacked)?;
        let max_batch = batch_within(&plan, limits)?;
        let rows = OnceLock::new();
        Ok(Self { plan, matrices, max_batch, limits, workspaces, is_batched, rows })
    }

    pub(super) fn plan(&self) -> &PackedPlan {
        &self.plan
    }

    pub(super) fn matrices(&self) -> &Matrices {
        &self.matrices
    }

    pub(super) fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }

    pub(super) const fn max_batch(&self) -> u64 {
        self.max_batch
    }

    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    /// The package that its family is named after.
    pub(super) fn digest(&self) -> Digest {
        *self.plan.package().file().digest()
    }

    /// How its values depend on the batch, where rows of several models may be run as one.
    pub(super) fn rows(&self) -> Option<&Rows> {
        let find = || {
            let rows = rows(self.plan.plan());
            (self.is_batched && rows.is_joinable()).then_some(rows)
        };
        self.rows.get_or_init(find).as_ref()
    }

    /// What it takes of this process's memory.
    pub(super) fn private_bytes(&self) -> u64 {
        let values = self.plan.plan().values.len() as u64;
        self.matrices.private_bytes() + self.rows.get().map_or(0, |_| values)
    }
}

/// The most rows with which no tensor of the plan passes the limit; sizes are taken to grow with
/// the batch at most linearly, as every row is computed for itself.
fn batch_within(packed: &PackedPlan, limits: Limits) -> Result<u64, LoadError> {
    let plan = packed.plan();
    let ones = vec![1; plan.symbols.len()];
    let mut largest = 1;
    for (at, value) in plan.values.iter().enumerate() {
        if !matches!(value.place, ArchivedPlace::Slot(_)) || packed.is_streamed(at as u32) {
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
