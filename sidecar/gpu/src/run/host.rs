//! The slots of a run as the CPU has them.

use inference::{
    InferError, Inputs,
    cpu::{PlannedModel, Steps},
    plan::{Frame, PackedPlan},
};
use zerocopy::IntoBytes;

use super::{RunError, words::narrow};

/// What is in slots, where the CPU wrote it or read it back.
pub(super) struct Host<'a> {
    steps: Steps<'a>,
    /// 64-bit numbers, so that each slot starts where any number can.
    slots: Vec<Option<Vec<u64>>>,
}

impl<'a> Host<'a> {
    pub(super) fn new(model: &'a PlannedModel, slots: usize) -> Self {
        Self { steps: model.steps(), slots: vec![None; slots] }
    }

    /// Whether the CPU has what is in a slot.
    pub(super) fn has(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(Option::is_some)
    }

    /// The device writes something else there.
    pub(super) fn forget(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = None;
        }
    }

    /// Keeps a value that was read back.
    pub(super) fn keep(&mut self, plan: &PackedPlan, frame: &Frame, value: u32, words: &[u8]) {
        let Some(row) = plan.plan().value(value) else { return };
        let inference::plan::ArchivedPlace::Slot(slot) = &row.place else { return };
        let length = frame.bytes(value).unwrap_or(0);
        let mut elements = vec![0_u64; length.div_ceil(size_of::<u64>())];
        let bytes = elements.as_mut_bytes().get_mut(..length).unwrap_or_default();
        narrow(row.kind, words, bytes);
        if let Some(slot) = self.slots.get_mut(slot.to_native() as usize) {
            *slot = Some(elements);
        }
    }

    /// The elements of a value that is in a slot.
    pub(super) fn elements(&self, frame: &Frame, value: u32, slot: usize) -> Option<&[u8]> {
        let elements = self.slots.get(slot)?.as_ref()?;
        elements.as_bytes().get(..frame.bytes(value)?)
    }

    /// Does step `at`, which writes `output` into `slot`.
    pub(super) fn step(
        &mut self,
        plan: &PackedPlan,
        inputs: &Inputs,
        frame: &Frame,
        at: usize,
        output: u32,
        slot: usize,
    ) -> Result<(), RunError> {
        let length = frame.bytes(output).unwrap_or(0);
        let mut written = vec![0_u64; length.div_ceil(size_of::<u64>())];
        let slots = &self.slots;
        let read = |value: u32| {
            let place = &plan.plan().value(value)?.place;
            let inference::plan::ArchivedPlace::Slot(slot) = place else { return None };
            let elements = slots.get(slot.to_native() as usize)?.as_ref()?;
            elements.as_bytes().get(..frame.bytes(value)?)
        };
        let bytes = written.as_mut_bytes().get_mut(..length).unwrap_or_default();
        let done: Result<(), InferError> = self.steps.run(at, inputs, frame, &read, bytes);
        done.map_err(RunError::Infer)?;
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Some(written);
        }
        Ok(())
    }
}
