//! The memory of a run, and reading what is in it.

use std::ops::Range;

use kernels::Scratch;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Shared,
    parts::{Own, Parts, Window},
};
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
    pub(super) places: Places,
    /// 64-bit numbers, so that what starts at a multiple of 8 bytes can be any number.
    pub(super) memory: Vec<u64>,
    pub(super) scratch: Scratch,
    pub(super) apart: super::apart::Apart,
}

/// Where everything is in one run.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) frame: Frame,
    slots: Vec<Range<usize>>,
    /// How many bytes of each slot this run wrote. What lies beyond is another request's.
    written: Vec<usize>,
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
        let places = &mut self.places;
        places.frame.bind(plan, inputs, limits)?;
        places.slots.clear();
        places.slots.resize(plan.plan().slots.to_native() as usize, 0..0);
        places.written.clear();
        places.written.resize(places.slots.len(), 0);
        for (at, value) in plan.plan().values.iter().enumerate() {
            if let ArchivedPlace::Slot(slot) = &value.place
                && let Some(slot) = places.slots.get_mut(slot.to_native() as usize)
            {
                slot.end = slot.end.max(places.frame.bytes(at as u32).unwrap_or(0));
            }
        }
        let mut end = 0_usize;
        for slot in &mut places.slots {
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
        let window = Window::all(&self.places.frame);
        let (from, output) =
            Operands::around(plan, inputs, &self.places, window, &mut self.memory, step)?;
        super::dispatch(step, &from, output, &mut self.scratch, shared)?;
        self.places.wrote(plan, step);
        Ok(())
    }

    /// An output of the last run: its dimensions, and its elements.
    pub(in crate::cpu) fn output<'a>(
        &'a self,
        plan: &'a PackedPlan,
        inputs: &'a Inputs,
        value: u32,
        parts: Parts<'a>,
    ) -> Result<(Shape, &'a [u8]), Fault> {
        let before = self.memory.as_bytes();
        let written = before.len()..before.len();
        let (places, after) = (&self.places, &[][..]);
        let frame = &places.frame;
        // An output that is a constant keeps a model from being joined.
        let own = if let Parts::All(own) = parts { own } else { Own::default() };
        let window = Window { own, ..Window::all(frame) };
        let slots = Slots::Memory { places, before, after, written };
        let bytes = Operands { plan, inputs, frame, window, slots }.bytes(value)?;
        Ok((frame.shape(plan, value)?, bytes))
    }
}

impl Places {
    /// Says that a step was done for all rows.
    pub(super) fn wrote(&mut self, plan: &PackedPlan, step: &ArchivedStep) {
        let (_, to) = step.operands();
        let Some(ArchivedPlace::Slot(slot)) = plan.plan().value(to).map(|it| &it.place) else {
            return;
        };
        let length = self.frame.bytes(to).unwrap_or(0);
        if let Some(written) = self.written.get_mut(slot.to_native() as usize) {
            *written = length;
        }
    }

    /// Whether this run wrote all of a value that is in a slot.
    fn has(&self, slot: u32, value: u32) -> bool {
        let written = self.written.get(slot as usize);
        self.frame.bytes(value).zip(written).is_some_and(|(length, written)| length <= *written)
    }

    /// Where the rows of a value are that `window` shows.
    fn range(&self, plan: &PackedPlan, window: &Window<'_>, value: u32) -> Option<Range<usize>> {
        let ArchivedPlace::Slot(slot) = plan.plan().value(value)?.place else { return None };
        let slot = self.slots.get(slot.to_native() as usize)?;
        let all = self.frame.bytes(value)?;
        let range = window.of(value, all)?;
        (all <= slot.len()).then(|| slot.start + range.start..slot.start + range.end)
    }
}

/// What a step may read: everything but what it writes.
pub(super) struct Operands<'a> {
    pub(super) plan: &'a PackedPlan,
    pub(super) inputs: &'a Inputs,
    pub(super) frame: &'a Frame,
    pub(super) window: Window<'a>,
    pub(super) slots: Slots<'a>,
}

/// Where the elements of values in slots are.
pub(super) enum Slots<'a> {
    /// In the memory of a run, around what the step writes.
    Memory { places: &'a Places, before: &'a [u8], after: &'a [u8], written: Range<usize> },
    /// Where a caller keeps them.
    Elsewhere(&'a dyn Fn(u32) -> Option<&'a [u8]>),
}

impl<'a> Slots<'a> {
    fn bytes(&self, operands: &Operands<'a>, slot: u32, value: u32) -> Option<&'a [u8]> {
        match self {
            Self::Memory { places, before, after, written } => {
                if !places.has(slot, value) {
                    return None;
                }
                let range = places.range(operands.plan, &operands.window, value)?;
                if range.end <= written.start {
                    return before.get(range);
                }
                let start = range.start.checked_sub(written.end)?;
                after.get(start..start + range.len())
            }
            Self::Elsewhere(slots) => slots(value),
        }
    }
}

impl<'a> Operands<'a> {
    /// What `step` reads, and what it writes, of the rows in `window`.
    pub(super) fn around(
        plan: &'a PackedPlan,
        inputs: &'a Inputs,
        places: &'a Places,
        window: Window<'a>,
        memory: &'a mut [u64],
        step: &ArchivedStep,
    ) -> Result<(Self, &'a mut [u8]), Fault> {
        let (_, to) = step.operands();
        let nowhere = Fault::Plan { what: "a step that writes to no slot" };
        let written = places.range(plan, &window, to).ok_or(nowhere)?;
        let (before, rest) = memory.as_mut_bytes().split_at_mut(written.start);
        let (output, after) = rest.split_at_mut(written.len());
        let slots = Slots::Memory { places, before, after, written };
        Ok((Self { plan, inputs, frame: &places.frame, window, slots }, output))
    }

    pub(super) fn shape(&self, value: u32) -> Result<Shape, Fault> {
        Ok(self.window.sizes.shape(self.plan, value)?)
    }

    pub(super) fn dimension(&self, at: u32) -> Result<usize, Fault> {
        Ok(self.window.sizes.dimension(at)?)
    }

    pub(super) fn kind(&self, value: u32) -> Result<ArchivedKind, Fault> {
        let value = self.plan.plan().value(value);
        value.map(|it| it.kind).ok_or(Fault::Plan { what: "a value that there is not" })
    }

    /// The elements of a value.
    pub(super) fn bytes(&self, value: u32) -> Result<&'a [u8], Fault> {
        let elsewhere = Fault::Plan { what: "a step reads what is not there" };
        let row = self.plan.plan().value(value);
        let length = self.window.sizes.length(value);
        let (Some(row), Some(length)) = (row, length) else { return Err(elsewhere) };
        let bytes = match &row.place {
            ArchivedPlace::Input(at) => {
                let all = self.frame.input(self.inputs, at.to_native());
                all.and_then(|it| it.data().bytes()).and_then(|all| {
                    let range = self.window.of(value, all.len())?;
                    all.get(range)
                })
            }
            ArchivedPlace::Constant(at) => {
                let start = at.to_native();
                self.window.own.constant(start).or_else(|| {
                    let start = usize::try_from(start).ok()?;
                    self.plan.constants().get(start..start.checked_add(length)?)
                })
            }
            ArchivedPlace::Slot(slot) => self.slots.bytes(self, slot.to_native(), value),
        };
        bytes.filter(|it| it.len() == length).ok_or(elsewhere)
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
                    Some(TensorData::Bytes(text)) => {
                        let range = self.window.rows_of(text.len());
                        range
                            .and_then(|range| text.get(range))
                            .ok_or(Fault::Plan { what: "texts of other rows than there are" })
                    }
                    _ => Err(Fault::Plan { what: "a text that is none" }),
                }
            }
            _ => Err(Fault::Plan { what: "a text that is no input" }),
        }
    }
}

/// What a step writes, as numbers.
pub(super) fn written<T>(output: &mut [u8]) -> Result<&mut [T], Fault>
where
    T: FromBytes + IntoBytes + KnownLayout,
{
    <[T]>::mut_from_bytes(output).map_err(|_| Fault::Plan { what: "an output of another kind" })
}
