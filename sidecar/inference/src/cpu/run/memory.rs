//! The memory of a run, and reading what is in it.

use std::ops::Range;

use kernels::Scratch;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Shared;
use crate::{
    Inputs, Limits, Tensor, TensorData,
    plan::{ArchivedKind, ArchivedPlace, ArchivedStep, Frame, FrameError, PackedPlan, Shape},
};

/// Slots start at multiples of so many bytes.
const SLOT_ALIGNMENT: usize = 64;
/// A workspace that grew beyond this is not kept for the next request.
const KEPT_BYTES: usize = 64 << 20;

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
pub(in crate::cpu) enum Fault {
    #[error("step {at} of the plan failed: {cause}")]
    Step { at: usize, cause: String },
    #[error("the plan does not fit together: {what}")]
    Plan { what: &'static str },
    #[error("expected an index from {least} to {most}, found {found}")]
    Index { least: i64, most: i64, found: i64 },
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Kernel(#[from] kernels::KernelError),
}

/// What one run needs beside its inputs and its plan. It is used again for the next one and then
/// allocates nothing, once it has seen the largest of them.
#[derive(Debug, Default)]
pub(in crate::cpu) struct Workspace {
    frame: Frame,
    slots: Vec<Range<usize>>,
    /// 64-bit numbers, so that what starts at a multiple of 8 bytes can be any number.
    memory: Vec<u64>,
    scratch: Scratch,
}

impl Workspace {
    /// Whether it is worth to be kept.
    pub(in crate::cpu) fn is_small(&self) -> bool {
        self.memory.len() * size_of::<u64>() + self.scratch.bytes() <= KEPT_BYTES
    }

    pub(super) fn prepare(
        &mut self,
        plan: &PackedPlan,
        inputs: &Inputs,
        limits: Limits,
    ) -> Result<(), Fault> {
        self.frame.bind(plan, inputs, limits)?;
        self.slots.clear();
        self.slots.resize(plan.plan().slots.to_native() as usize, 0..0);
        for (at, value) in plan.plan().values.iter().enumerate() {
            if let ArchivedPlace::Slot(slot) = &value.place
                && let Some(slot) = self.slots.get_mut(slot.to_native() as usize)
            {
                slot.end = slot.end.max(self.frame.bytes(at as u32).unwrap_or(0));
            }
        }
        let mut end = 0_usize;
        for slot in &mut self.slots {
            *slot = end..end + slot.end;
            end = slot.end.next_multiple_of(SLOT_ALIGNMENT);
        }
        // As many tensors at once as a request has no business to need.
        let limit = limits.max_tensor_bytes.saturating_mul(8);
        if end as u64 > limit {
            return Err(FrameError::TooLarge { bytes: end as u64, limit }.into());
        }
        let needed = end.div_ceil(size_of::<u64>());
        if self.memory.len() < needed {
            self.memory.clear();
            self.memory.resize(needed, 0);
        }
        Ok(())
    }

    pub(super) fn step(
        &mut self,
        plan: &PackedPlan,
        shared: Shared<'_>,
        inputs: &Inputs,
        step: &ArchivedStep,
    ) -> Result<(), Fault> {
        let (_, to) = step.operands();
        let nowhere = Fault::Plan { what: "a step that writes to no slot" };
        let range = self.range(plan, to).ok_or(nowhere)?;
        let (before, rest) = self.memory.as_mut_bytes().split_at_mut(range.start);
        let (output, after) = rest.split_at_mut(range.len());
        let slots = Slots { frame: &self.frame, slots: &self.slots, before, after, written: range };
        let read = |value| slots.bytes(plan, value);
        let from = Operands { plan, inputs, frame: &self.frame, slots: &read };
        super::dispatch(step, &from, output, &mut self.scratch, shared)
    }

    /// An output of the last run: its dimensions, and its elements.
    pub(in crate::cpu) fn output<'a>(
        &'a self,
        plan: &'a PackedPlan,
        inputs: &'a Inputs,
        value: u32,
    ) -> Result<(Shape, &'a [u8]), Fault> {
        let before = self.memory.as_bytes();
        let nothing = before.len()..before.len();
        let (frame, slots) = (&self.frame, &self.slots);
        let slots = Slots { frame, slots, before, after: &[], written: nothing };
        let bytes = elements(plan, inputs, frame, value, || slots.bytes(plan, value))?;
        Ok((frame.shape(plan, value)?, bytes))
    }

    fn range(&self, plan: &PackedPlan, value: u32) -> Option<Range<usize>> {
        range(&self.frame, &self.slots, plan, value)
    }
}

fn range(
    frame: &Frame,
    slots: &[Range<usize>],
    plan: &PackedPlan,
    value: u32,
) -> Option<Range<usize>> {
    let ArchivedPlace::Slot(slot) = plan.plan().value(value)?.place else { return None };
    let slot = slots.get(slot.to_native() as usize)?;
    let length = frame.bytes(value)?;
    (length <= slot.len()).then(|| slot.start..slot.start + length)
}

/// The memory of a run but for what a step writes.
struct Slots<'a> {
    frame: &'a Frame,
    slots: &'a [Range<usize>],
    before: &'a [u8],
    after: &'a [u8],
    written: Range<usize>,
}

impl<'a> Slots<'a> {
    fn bytes(&self, plan: &PackedPlan, value: u32) -> Option<&'a [u8]> {
        let range = range(self.frame, self.slots, plan, value)?;
        if range.end <= self.written.start {
            return self.before.get(range);
        }
        let start = range.start.checked_sub(self.written.end)?;
        self.after.get(start..start + range.len())
    }
}

/// What a step may read: everything but what it writes.
pub(super) struct Operands<'a> {
    pub(super) plan: &'a PackedPlan,
    pub(super) inputs: &'a Inputs,
    pub(super) frame: &'a Frame,
    /// The elements of a value that is in a slot.
    pub(super) slots: &'a dyn Fn(u32) -> Option<&'a [u8]>,
}

impl<'a> Operands<'a> {
    pub(super) fn shape(&self, value: u32) -> Result<Shape, Fault> {
        Ok(self.frame.shape(self.plan, value)?)
    }

    pub(super) fn dimension(&self, at: u32) -> Result<usize, Fault> {
        Ok(self.frame.dimension(at)?)
    }

    pub(super) fn kind(&self, value: u32) -> Result<ArchivedKind, Fault> {
        let value = self.plan.plan().value(value);
        value.map(|it| it.kind).ok_or(Fault::Plan { what: "a value that there is not" })
    }

    /// The elements of a value.
    pub(super) fn bytes(&self, value: u32) -> Result<&'a [u8], Fault> {
        let slot = || (self.slots)(value);
        elements(self.plan, self.inputs, self.frame, value, slot)
    }

    /// The elements of a value of numbers.
    pub(super) fn numbers<T>(&self, value: u32) -> Result<&'a [T], Fault>
    where
        T: FromBytes + Immutable + KnownLayout,
    {
        let bytes = self.bytes(value)?;
        <[T]>::ref_from_bytes(bytes).map_err(|_| Fault::Plan { what: "a value of another kind" })
    }

    /// The elements of a value of text.
    pub(super) fn text(&self, value: u32) -> Result<&'a [Vec<u8>], Fault> {
        let row = self.plan.plan().value(value);
        match row.map(|it| &it.place) {
            Some(ArchivedPlace::Input(at)) => {
                match self.frame.input(self.inputs, at.to_native()).map(Tensor::data) {
                    Some(TensorData::Bytes(text)) => Ok(text),
                    _ => Err(Fault::Plan { what: "a text that is none" }),
                }
            }
            _ => Err(Fault::Plan { what: "a text that is no input" }),
        }
    }
}

/// The elements of a value, those of one in a slot by `slot`.
fn elements<'a>(
    plan: &'a PackedPlan,
    inputs: &'a Inputs,
    frame: &Frame,
    value: u32,
    slot: impl FnOnce() -> Option<&'a [u8]>,
) -> Result<&'a [u8], Fault> {
    let row = plan.plan().value(value);
    let bytes = match row.map(|it| &it.place) {
        Some(ArchivedPlace::Slot(_)) => slot().filter(|it| Some(it.len()) == frame.bytes(value)),
        _ => frame.given(plan, inputs, value),
    };
    bytes.ok_or(Fault::Plan { what: "a step reads what is not there" })
}

/// What a step writes, as numbers.
pub(super) fn written<T>(output: &mut [u8]) -> Result<&mut [T], Fault>
where
    T: FromBytes + IntoBytes + KnownLayout,
{
    <[T]>::mut_from_bytes(output).map_err(|_| Fault::Plan { what: "an output of another kind" })
}
