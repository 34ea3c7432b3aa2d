//! What models of equal plans have in common on a device.

use std::sync::{Mutex, MutexGuard, PoisonError};

use artifact::SectionKind;
use inference::{
    DeviceError,
    plan::{ArchivedLayout, PackedPlan},
};
use shaders::Weights;
use tenancy::Digest;

use crate::{
    Mode, Placement,
    memory::{GRAIN_WORDS, Store, WORD_BYTES},
    program::Program,
};

/// The layout that is taken where a package has several: panels of so many columns.
const LANES: u32 = 16;

/// A plan as a device runs it, and where weights lie in a slot. Models of one family share it.
pub(crate) struct Blueprint {
    pub(crate) family: Digest,
    pub(crate) program: Program,
    /// Joint runs of the family: what they take, by the rows of all.
    together: Mutex<Placement>,
    pub(crate) lanes: usize,
    matrices: Vec<u64>,
    constants: u64,
    pub(crate) slot_words: u64,
}

impl Blueprint {
    /// What two models of one family agree in: everything but the bytes of their weights. None where
    /// the package lacks what its plan needs.
    pub(crate) fn family(plan: &PackedPlan) -> Option<Digest> {
        let package = plan.package();
        let panels = panels(plan)?;
        let mut said = package.section(SectionKind::Plan)?.to_vec();
        for length in [panels.len(), plan.constants().len()] {
            said.extend_from_slice(&(length as u64).to_le_bytes());
        }
        let header = package.header();
        for tensor in header.inputs.iter().chain(header.outputs.iter()) {
            said.extend_from_slice(tensor.name.as_bytes());
            said.push(0);
            said.extend_from_slice(tensor.datatype.as_bytes());
            said.push(0);
            for dim in tensor.shape.iter() {
                said.extend_from_slice(&dim.to_native().to_le_bytes());
            }
            said.push(1);
        }
        Some(Digest::of(&said))
    }

    /// None where nothing of the plan is done by a device.
    pub(crate) fn of(plan: &PackedPlan, family: Digest, mode: Mode) -> Option<Self> {
        let program = Program::of(plan.plan());
        if !program.is_on_device() {
            return None;
        }
        let layout = layout(plan);
        let offsets = layout.map(|it| it.offsets.iter().map(|it| it.to_native() / WORD_BYTES));
        let words = |bytes: usize| (bytes as u64).div_ceil(WORD_BYTES);
        let constants = words(panels(plan)?.len()).next_multiple_of(GRAIN_WORDS);
        let slot_words = constants + words(plan.constants().len());
        Some(Self {
            family,
            program,
            together: Mutex::new(Placement::new(mode)),
            lanes: layout.map_or(1, |it| it.lanes.to_native() as usize),
            matrices: offsets.into_iter().flatten().collect(),
            constants,
            slot_words: slot_words.next_multiple_of(GRAIN_WORDS).max(GRAIN_WORDS),
        })
    }

    pub(crate) fn weights(&self) -> Weights<'_> {
        Weights {
            lanes: self.lanes,
            matrices: &self.matrices,
            constants: self.constants,
            slot_words: self.slot_words,
        }
    }

    /// Copies the weights of a model of this family to `word` and on, from where they are mapped.
    pub(crate) fn fill(
        &self,
        plan: &PackedPlan,
        store: &Store,
        word: u64,
    ) -> Result<(), DeviceError> {
        store.write(word, panels(plan).unwrap_or_default())?;
        store.write(word + self.constants, plan.constants())
    }

    pub(crate) fn together(&self) -> MutexGuard<'_, Placement> {
        self.together.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn layout(plan: &PackedPlan) -> Option<&ArchivedLayout> {
    let layouts = &plan.plan().layouts;
    layouts.iter().find(|it| it.lanes.to_native() == LANES).or(layouts.first())
}

/// The panels that a device reads: none where the plan has no matrices.
fn panels(plan: &PackedPlan) -> Option<&[u8]> {
    let Some(layout) = layout(plan).filter(|_| !plan.plan().matrices.is_empty()) else {
        return Some(&[]);
    };
    let mut sections = plan.package().sections(SectionKind::Panels);
    sections.find(|(key, _)| *key == layout.key.as_str()).map(|(_, bytes)| bytes)
}
