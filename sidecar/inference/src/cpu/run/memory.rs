//! The memory of a run, and reading what is in it.

use std::ops::Range;

use kernels::Scratch;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Shared,
    parts::{Own, Parts, Window},
    products,
};
use crate::{
    Inputs, Limits, Tensor, TensorData,
    plan::{
        ArchivedKind, ArchivedPlace, ArchivedStep, Frame, FrameError, PackedPlan, Shape, Sizes,
    },
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
    pub(super) frame: Frame,
    pub(super) slots: Slots,
    /// 64-bit numbers, so that what starts at a multiple of 8 bytes can be any number.
    pub(super) memory: Vec<u64>,
    pub(super) scratch: Scratch,
    pub(super) apart: super::apart::Apart,
}

/// Where the slots of a run are in its memory.
#[derive(Debug, Default)]
pub(super) struct Slots {
    ranges: Vec<Range<usize>>,
    /// How many bytes of each this run wrote. What lies beyond is another request's.
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
        self.frame.bind(plan, inputs, limits)?;
        let Slots { ranges, written } = &mut self.slots;
        ranges.clear();
        ranges.resize(plan.plan().slots.to_native() as usize, 0..0);
        written.clear();
        written.resize(ranges.len(), 0);
        for (at, value) in plan.plan().values.iter().enumerate() {
            if let ArchivedPlace::Slot(slot) = &value.place
                && let Some(slot) = ranges.get_mut(slot.to_native() as usize)
                && !plan.is_streamed(at as u32)
            {
                slot.end = slot.end.max(self.frame.bytes(at as u32).unwrap_or(0));
            }
        }
        let mut end = 0_usize;
        for slot in ranges {
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

    /// Does a step: a product where `stream` is a window with what that shows.
    pub(super) fn step(
        &mut self,
        plan: &PackedPlan,
        shared: Shared<'_>,
        inputs: &Inputs,
        step: &ArchivedStep,
        stream: Option<&ArchivedStep>,
    ) -> Result<(), Fault> {
        let Self { frame, slots, memory, scratch, .. } = self;
        let window = Window { sizes: &frame.sizes, cut: None, own: Own::default() };
        let (from, output) = Operands::around(plan, inputs, frame, slots, window, memory, step)?;
        match (step, stream) {
            (ArchivedStep::Product { matrix, relu, .. }, Some(stream)) => {
                products::of_window(&from, stream, matrix, *relu, output, scratch, shared)?;
            }
            _ => super::dispatch(step, &from, output, scratch, shared)?,
        }
        slots.wrote(plan, &frame.sizes, step);
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
        let (frame, slots, after) = (&self.frame, &self.slots, &[][..]);
        // An output that is a constant keeps a model from being joined.
        let own = if let Parts::All(own) = parts { own } else { Own::default() };
        let window = Window { sizes: &frame.sizes, cut: None, own };
        let memory = Memory::Around { slots, before, after, written };
        let all = Operands { plan, inputs, frame, window, memory };
        Ok((frame.shape(plan, value)?, all.bytes(value)?))
    }
}

impl Slots {
    /// Says that a step was done for all rows.
    pub(super) fn wrote(&mut self, plan: &PackedPlan, sizes: &Sizes, step: &ArchivedStep) {
        let (_, to) = step.operands();
        let Some(ArchivedPlace::Slot(slot)) = plan.plan().value(to).map(|it| &it.place) else {
            return;
        };
        let length = sizes.length(to).unwrap_or(0);
        if let Some(written) = self.written.get_mut(slot.to_native() as usize) {
            *written = length;
        }
    }

    /// Whether this run wrote all of a value that is in a slot, of so many bytes.
    fn has(&self, slot: u32, all: usize) -> bool {
        self.written.get(slot as usize).is_some_and(|written| all <= *written)
    }

    /// Where the rows of a value are that `window` shows, of a value of so many bytes.
    fn range(
        &self,
        slot: u32,
        window: &Window<'_>,
        value: u32,
        all: usize,
    ) -> Option<Range<usize>> {
        let slot = self.ranges.get(slot as usize)?;
        let range = window.of(value, all)?;
        (all <= slot.len()).then(|| slot.start + range.start..slot.start + range.end)
    }
}

/// Where the values in slots are.
#[derive(Clone)]
pub(super) enum Memory<'a> {
    /// In the memory of a run, before and after what a step writes.
    Around { slots: &'a Slots, before: &'a [u8], after: &'a [u8], written: Range<usize> },
    /// Where this finds them, by value.
    Elsewhere(&'a dyn Fn(u32) -> Option<&'a [u8]>),
}

/// What a step may read: everything but what it writes.
pub(super) struct Operands<'a> {
    pub(super) plan: &'a PackedPlan,
    pub(super) inputs: &'a Inputs,
    pub(super) frame: &'a Frame,
    pub(super) window: Window<'a>,
    pub(super) memory: Memory<'a>,
}

impl<'a> Operands<'a> {
    /// What `step` reads, and what it writes, of the rows in `window`.
    pub(super) fn around(
        plan: &'a PackedPlan,
        inputs: &'a Inputs,
        frame: &'a Frame,
        slots: &'a Slots,
        window: Window<'a>,
        memory: &'a mut [u64],
        step: &ArchivedStep,
    ) -> Result<(Self, &'a mut [u8]), Fault> {
        let (_, to) = step.operands();
        let nowhere = || Fault::Plan { what: "a step that writes to no slot" };
        let Some(ArchivedPlace::Slot(slot)) = plan.plan().value(to).map(|it| &it.place) else {
            return Err(nowhere());
        };
        let all = frame.bytes(to).ok_or_else(nowhere)?;
        let written = slots.range(slot.to_native(), &window, to, all).ok_or_else(nowhere)?;
        let (before, rest) = memory.as_mut_bytes().split_at_mut(written.start);
        let (output, after) = rest.split_at_mut(written.len());
        let memory = Memory::Around { slots, before, after, written };
        Ok((Self { plan, inputs, frame, window, memory }, output))
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
                self.input(at.to_native()).and_then(|it| it.data().bytes()).and_then(|all| {
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
            ArchivedPlace::Slot(slot) => self.in_slot(slot.to_native(), value),
        };
        bytes.filter(|it| it.len() == length).ok_or(elsewhere)
    }

    fn in_slot(&self, slot: u32, value: u32) -> Option<&'a [u8]> {
        let all = self.frame.bytes(value)?;
        match &self.memory {
            Memory::Elsewhere(find) => find(value)?.get(self.window.of(value, all)?),
            Memory::Around { slots, before, after, written } => {
                let range = slots.range(slot, &self.window, value, all)?;
                if !slots.has(slot, all) {
                    return None;
                }
                if range.end <= written.start {
                    return before.get(range);
                }
                let start = range.start.checked_sub(written.end)?;
                after.get(start..start + range.len())
            }
        }
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
            Some(ArchivedPlace::Input(at)) => match self.input(at.to_native()).map(Tensor::data) {
                Some(TensorData::Bytes(text)) => {
                    let range = self.window.rows_of(text.len());
                    range
                        .and_then(|range| text.get(range))
                        .ok_or(Fault::Plan { what: "texts of other rows than there are" })
                }
                _ => Err(Fault::Plan { what: "a text that is none" }),
            },
            _ => Err(Fault::Plan { what: "a text that is no input" }),
        }
    }

    fn input(&self, at: u32) -> Option<&'a Tensor> {
        self.frame.input(self.inputs, at)
    }
}

/// What a step writes, as numbers.
pub(super) fn written<T>(output: &mut [u8]) -> Result<&mut [T], Fault>
where
    T: FromBytes + IntoBytes + KnownLayout,
{
    <[T]>::mut_from_bytes(output).map_err(|_| Fault::Plan { what: "an output of another kind" })
}
