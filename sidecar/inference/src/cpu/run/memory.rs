//! The memory of a run, and reading what is in it.

use std::ops::Range;

use kernels::Scratch;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Shape, Shared};
use crate::{
    Inputs, Limits, Tensor, TensorData,
    plan::{ArchivedKind, ArchivedPlace, ArchivedStep, PackedPlan},
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
    #[error("expected a tensor of at most {limit} bytes, found one that needs {bytes}")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("expected an index from {least} to {most}, found {found}")]
    Index { least: i64, most: i64, found: i64 },
    #[error(transparent)]
    Kernel(#[from] kernels::KernelError),
}

/// What one run needs beside its inputs and its plan. It is used again for the next one and then
/// allocates nothing, once it has seen the largest of them.
#[derive(Debug, Default)]
pub(in crate::cpu) struct Workspace {
    frame: Frame,
    /// 64-bit numbers, so that what starts at a multiple of 8 bytes can be any number.
    memory: Vec<u64>,
    scratch: Scratch,
}

/// What the symbols of a plan come to in one run.
#[derive(Debug, Default)]
pub(super) struct Frame {
    symbols: Vec<i64>,
    dimensions: Vec<usize>,
    /// The bytes of each value.
    lengths: Vec<usize>,
    slots: Vec<Range<usize>>,
    /// For each input of the model, which of the request's it is.
    order: Vec<usize>,
}

impl Frame {
    pub(super) fn dimension(&self, at: u32) -> Result<usize, Fault> {
        let found = self.dimensions.get(at as usize).copied();
        found.ok_or(Fault::Plan { what: "a dimension that there is not" })
    }
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
        let missing = || Fault::Plan { what: "an input that the request has not" };
        let frame = &mut self.frame;
        frame.order.clear();
        for input in plan.package().header().inputs.iter() {
            let named = |it: &Tensor| it.name() == input.name.as_str();
            frame.order.push(inputs.tensors().iter().position(named).ok_or_else(missing)?);
        }
        frame.symbols.clear();
        for symbol in plan.plan().symbols.iter() {
            let tensor = frame.order.get(symbol.input.to_native() as usize);
            let tensor = tensor.and_then(|at| inputs.tensors().get(*at)).ok_or_else(missing)?;
            let dimension = tensor.shape().get(symbol.axis.to_native() as usize);
            let value = dimension.and_then(|it| i64::try_from(*it).ok()).ok_or_else(missing)?;
            frame.symbols.push(value);
        }
        frame.dimensions.clear();
        for dimension in plan.plan().dimensions.iter() {
            let value = dimension.evaluate(&frame.symbols);
            frame.dimensions.push(value.ok_or(Fault::Plan { what: "a dimension below 0" })?);
        }
        self.place(plan, limits)
    }

    fn place(&mut self, plan: &PackedPlan, limits: Limits) -> Result<(), Fault> {
        let frame = &mut self.frame;
        frame.lengths.clear();
        frame.slots.clear();
        frame.slots.resize(plan.plan().slots.to_native() as usize, 0..0);
        for value in plan.plan().values.iter() {
            let mut length = Some(bytes_of(value.kind));
            for at in value.shape.iter() {
                let dimension = frame.dimension(at.to_native())?;
                length = length.and_then(|it| it.checked_mul(dimension));
            }
            let bytes = length.unwrap_or(usize::MAX);
            if let ArchivedPlace::Slot(slot) = &value.place {
                let limit = limits.max_tensor_bytes;
                if bytes as u64 > limit {
                    return Err(Fault::TooLarge { bytes: bytes as u64, limit });
                }
                if let Some(slot) = frame.slots.get_mut(slot.to_native() as usize) {
                    slot.end = slot.end.max(bytes);
                }
            }
            frame.lengths.push(bytes);
        }
        let mut end = 0_usize;
        for slot in &mut frame.slots {
            *slot = end..end + slot.end;
            end = slot.end.next_multiple_of(SLOT_ALIGNMENT);
        }
        // As many tensors at once as a request has no business to need.
        let limit = limits.max_tensor_bytes.saturating_mul(8);
        if end as u64 > limit {
            return Err(Fault::TooLarge { bytes: end as u64, limit });
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
        let range = self.frame.range(plan, to).ok_or(nowhere)?;
        let (before, rest) = self.memory.as_mut_bytes().split_at_mut(range.start);
        let (output, after) = rest.split_at_mut(range.len());
        let from = Operands { plan, inputs, frame: &self.frame, before, after, written: range };
        super::dispatch(step, &from, output, &mut self.scratch, shared)
    }

    /// An output of the last run: its dimensions, and its elements.
    pub(in crate::cpu) fn output<'a>(
        &'a self,
        plan: &'a PackedPlan,
        inputs: &'a Inputs,
        value: u32,
    ) -> Result<(impl Iterator<Item = u64> + use<>, &'a [u8]), Fault> {
        let shape = self.frame.shape(plan, value)?;
        let before = self.memory.as_bytes();
        let nothing = before.len()..before.len();
        let frame = &self.frame;
        let all = Operands { plan, inputs, frame, before, after: &[], written: nothing };
        let bytes = all.bytes(value)?;
        Ok(((0..shape.rank).map(move |at| shape.get(at).map_or(0, |it| *it as u64)), bytes))
    }
}

impl Frame {
    fn range(&self, plan: &PackedPlan, value: u32) -> Option<Range<usize>> {
        let ArchivedPlace::Slot(slot) = plan.plan().value(value)?.place else { return None };
        let slot = self.slots.get(slot.to_native() as usize)?;
        let length = *self.lengths.get(value as usize)?;
        (length <= slot.len()).then(|| slot.start..slot.start + length)
    }
}

/// What a step may read: everything but what it writes.
pub(super) struct Operands<'a> {
    pub(super) plan: &'a PackedPlan,
    inputs: &'a Inputs,
    frame: &'a Frame,
    before: &'a [u8],
    after: &'a [u8],
    written: Range<usize>,
}

impl<'a> Operands<'a> {
    pub(super) fn shape(&self, value: u32) -> Result<Shape, Fault> {
        self.frame.shape(self.plan, value)
    }

    pub(super) fn dimension(&self, at: u32) -> Result<usize, Fault> {
        self.frame.dimension(at)
    }

    pub(super) fn kind(&self, value: u32) -> Result<ArchivedKind, Fault> {
        let value = self.plan.plan().value(value);
        value.map(|it| it.kind).ok_or(Fault::Plan { what: "a value that there is not" })
    }

    /// The elements of a value.
    pub(super) fn bytes(&self, value: u32) -> Result<&'a [u8], Fault> {
        let elsewhere = Fault::Plan { what: "a step reads what is not there" };
        let row = self.plan.plan().value(value);
        let length = self.frame.lengths.get(value as usize).copied();
        let (Some(row), Some(length)) = (row, length) else { return Err(elsewhere) };
        let bytes = match &row.place {
            ArchivedPlace::Input(at) => self.input(at.to_native()).and_then(plain),
            ArchivedPlace::Constant(at) => {
                let at = usize::try_from(at.to_native()).ok();
                at.and_then(|at| self.plan.constants().get(at..at.checked_add(length)?))
            }
            ArchivedPlace::Slot(_) => self.frame.range(self.plan, value).and_then(|range| {
                if range.end <= self.written.start {
                    self.before.get(range)
                } else {
                    let start = range.start.checked_sub(self.written.end)?;
                    self.after.get(start..start + range.len())
                }
            }),
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
            Some(ArchivedPlace::Input(at)) => match self.input(at.to_native()).map(Tensor::data) {
                Some(TensorData::Bytes(text)) => Ok(text),
                _ => Err(Fault::Plan { what: "a text that is none" }),
            },
            _ => Err(Fault::Plan { what: "a text that is no input" }),
        }
    }

    fn input(&self, at: u32) -> Option<&'a Tensor> {
        let at = *self.frame.order.get(at as usize)?;
        self.inputs.tensors().get(at)
    }
}

/// The bytes of an input of a kind that plans know.
fn plain(tensor: &Tensor) -> Option<&[u8]> {
    Some(match tensor.data() {
        TensorData::Bool(values) => values.as_bytes(),
        TensorData::Int32(values) => values.as_bytes(),
        TensorData::Int64(values) => values.as_bytes(),
        TensorData::Fp32(values) => values.as_bytes(),
        TensorData::Fp64(values) => values.as_bytes(),
        _ => return None,
    })
}

/// Bytes of one element; texts take none of a run's memory.
pub(in crate::cpu) const fn bytes_of(kind: ArchivedKind) -> usize {
    match kind {
        ArchivedKind::Text => 0,
        ArchivedKind::Bool => 1,
        ArchivedKind::I32 | ArchivedKind::F32 => 4,
        ArchivedKind::I64 | ArchivedKind::F64 => 8,
    }
}

/// What a step writes, as numbers.
pub(super) fn written<T>(output: &mut [u8]) -> Result<&mut [T], Fault>
where
    T: FromBytes + IntoBytes + KnownLayout,
{
    <[T]>::mut_from_bytes(output).map_err(|_| Fault::Plan { what: "an output of another kind" })
}
