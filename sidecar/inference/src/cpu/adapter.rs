//! What a model changes of its base, as runs need it.

use artifact::Package;
use kernels::{PanelShape, Panels};

use super::{base::Base, matrices::AlignedBytes};
use crate::{
    LoadError,
    changes::{ChangesError, PackedChanges, WeightsRef},
    plan::{ArchivedPlace, ArchivedPlan, ArchivedStep, Major, Rows},
};

/// The changes of a package to its base, which stay where they are mapped.
pub(super) struct Adapter {
    changes: PackedChanges,
    /// The steps of the base's plan that are done otherwise, in order.
    steps: Box<[u32]>,
    /// Whole matrices whose panels are for another processor, packed again for this one.
    repacked: Vec<(u32, AlignedBytes)>,
    /// Whether its rows may be run with those of others.
    is_joinable: bool,
}

impl Adapter {
    /// Checks the changes in `package`.
    pub(super) fn open(package: Package, base: &Base) -> Result<Self, LoadError> {
        let changes = PackedChanges::open(package, base.plan())?;
        let plan = base.plan().plan();
        let changed =
            plan.steps.iter().enumerate().filter(|(_, step)| is_changed(&changes, plan, step));
        let steps: Box<[u32]> = changed.map(|(at, _)| at as u32).collect();
        let is_joinable = base.rows().is_some_and(|rows| keeps_apart(rows, plan, &steps));
        let repacked = repacked(&changes)?;
        Ok(Self { changes, steps, repacked, is_joinable })
    }

    pub(super) fn changes(&self) -> &PackedChanges {
        &self.changes
    }

    pub(super) fn steps(&self) -> &[u32] {
        &self.steps
    }

    pub(super) fn is_joinable(&self) -> bool {
        self.is_joinable
    }

    /// The panels of a matrix that is altogether its own.
    pub(super) fn whole(&self, at: u32) -> Option<Panels<'_>> {
        let WeightsRef::Whole(panels) = self.changes.matrix(at)?.weights else { return None };
        if panels.shape().lanes == kernels::lanes() {
            return Some(panels);
        }
        let (_, bytes) = self.repacked.iter().find(|(matrix, _)| *matrix == at)?;
        let shape = PanelShape { lanes: kernels::lanes(), ..*panels.shape() };
        Panels::new(bytes.bytes().get(..shape.bytes().ok()?)?, shape).ok()
    }

    /// What it takes of this process's memory.
    pub(super) fn private_bytes(&self) -> u64 {
        let repacked = self.repacked.iter().map(|(_, bytes)| bytes.private_bytes());
        size_of::<Self>() as u64
            + size_of_val(&*self.steps) as u64
            + self.changes.private_bytes()
            + repacked.sum::<u64>()
    }
}

fn is_changed(changes: &PackedChanges, plan: &ArchivedPlan, step: &ArchivedStep) -> bool {
    if let ArchivedStep::Product { matrix, .. } = step
        && changes.matrix(matrix.to_native()).is_some()
    {
        return true;
    }
    let mut inputs = step.operands().0;
    inputs.any(|value| match plan.value(value).map(|it| &it.place) {
        Some(ArchivedPlace::Constant(at)) => changes.constant(at.to_native()).is_some(),
        _ => false,
    })
}

/// Whether no changed step makes what is there once for all rows: that would be of one model alone.
fn keeps_apart(rows: &Rows, plan: &ArchivedPlan, steps: &[u32]) -> bool {
    let changed = steps.iter().filter_map(|at| plan.steps.get(*at as usize));
    rows.is_joinable() && changed.into_iter().all(|step| rows.of(step.operands().1) == Major::Batch)
}

/// Packs whole matrices again where they are for another processor. They are small, or there would be
/// no reason to have them beside a base.
fn repacked(changes: &PackedChanges) -> Result<Vec<(u32, AlignedBytes)>, LoadError> {
    let lanes = kernels::lanes();
    let malformed = |detail: String| LoadError::from(ChangesError::Malformed { detail });
    let mut repacked = vec![];
    let mut left = changes.numbers().len();
    for change in changes.matrices() {
        let WeightsRef::Whole(panels) = change.weights else { continue };
        if panels.shape().lanes == lanes {
            continue;
        }
        // Two that share their panels would come to more than the file has.
        let length = panels.shape().bytes().map_err(|error| malformed(error.to_string()))?;
        left = left
            .checked_sub(length)
            .ok_or_else(|| malformed("two matrices share their panels".to_owned()))?;
        let (weights, bias) = panels.unpack();
        let shape = PanelShape { lanes, ..*panels.shape() };
        let mut bytes = vec![];
        shape
            .pack(&weights, shape.has_bias.then_some(&*bias), &mut bytes)
            .map_err(|error| malformed(error.to_string()))?;
        repacked.push((change.matrix, AlignedBytes::of(&bytes)));
    }
    Ok(repacked)
}
