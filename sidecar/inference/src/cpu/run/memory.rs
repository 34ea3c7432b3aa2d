//! The memory of a run, and reading what is in it.

use std::ops::Range;

use kernels::Scratch;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Shape, Shared,
    parts::{Own, Parts, Window},
};
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
    pub(super) frame: Frame,
    /// 64-bit numbers, so that what starts at a multiple of 8 bytes can be any number.
    pub(super) memory: Vec<u64>,
    pub(super) scratch: Scratch,
    pub(super) apart: super::apart::Apart,
}

/// Where everything is in one run.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) sizes: Sizes,
    slots: Vec<Range<usize>>,
    /// How many bytes of each slot this run wrote. What lies beyond is another request's.
    written: Vec<usize>,
    /// For each input of the model, which of the request's it is.
    order: Vec<usize>,
}

/// What the symbols of a plan come to in one run, or in a part of its rows.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    pub(super) symbols: Vec<i64>,
    dimensions: Vec<usize>,
    /// The bytes of each value.
    lengths: Vec<usize>,
}

impl Sizes {
    pub(super) fn dimension(&self, at: u32) -> Result<usize, Fault> {
        let found = self.dimensions.get(at as usize).copied();
        found.ok_or(Fault::Plan { what: "a dimension that there is not" })
    }

    pub(super) fn length(&self, value: u32) -> Option<usize> {
        self.lengths.get(value as usize).copied()
    }

    /// Finds them for the symbols that it has.
    pub(super) fn evaluate(&mut self, plan: &PackedPlan) -> Result<(), Fault> {
        self.dimensions.clear();
        for dimension in plan.plan().dimensions.iter() {
            let value = dimension.evaluate(&self.symbols);
            self.dimensions.push(value.ok_or(Fault::Plan { what: "a dimension below 0" })?);
        }
        self.lengths.clear();
        for value in plan.plan().values.iter() {
            let mut length = Some(value.kind.bytes());
            for at in value.shape.iter() {
                let dimension = self.dimension(at.to_native())?;
                length = length.and_then(|it| it.checked_mul(dimension));
            }
            self.lengths.push(length.unwrap_or(usize::MAX));
        }
        Ok(())
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
        let symbols = &mut frame.sizes.symbols;
        symbols.clear();
        for symbol in plan.plan().symbols.iter() {
            let tensor = frame.order.get(symbol.input.to_native() as usize);
            let tensor = tensor.and_then(|at| inputs.tensors().get(*at)).ok_or_else(missing)?;
            let dimension = tensor.shape().get(symbol.axis.to_native() as usize);
            let value = dimension.and_then(|it| i64::try_from(*it).ok()).ok_or_else(missing)?;
            symbols.push(value);
        }
        frame.sizes.evaluate(plan)?;
        self.place(plan, limits)
    }

    fn place(&mut self, plan: &PackedPlan, limits: Limits) -> Result<(), Fault> {
        let frame = &mut self.frame;
        frame.slots.clear();
        frame.slots.resize(plan.plan().slots.to_native() as usize, 0..0);
        frame.written.clear();
        frame.written.resize(frame.slots.len(), 0);
        for (value, bytes) in plan.plan().values.iter().zip(&frame.sizes.lengths) {
            if let ArchivedPlace::Slot(slot) = &value.place {
                let limit = limits.max_tensor_bytes;
                if *bytes as u64 > limit {
                    return Err(Fault::TooLarge { bytes: *bytes as u64, limit });
                }
                if let Some(slot) = frame.slots.get_mut(slot.to_native() as usize) {
                    slot.end = slot.end.max(*bytes);
                }
            }
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
        let window = Window { sizes: &self.frame.sizes, cut: None, own: Own::default() };
        let (from, output) =
            Operands::around(plan, inputs, &self.frame, window, &mut self.memory, step)?;
        super::dispatch(step, &from, output, &mut self.scratch, shared)?;
        self.frame.wrote(plan, step);
        Ok(())
    }

    /// An output of the last run: its dimensions, and its elements.
    pub(in crate::cpu) fn output<'a>(
        &'a self,
        plan: &'a PackedPlan,
        inputs: &'a Inputs,
        value: u32,
        parts: Parts<'a>,
    ) -> Result<(impl Iterator<Item = u64> + use<'a>, &'a [u8]), Fault> {
        let shape = self.frame.sizes.shape(plan, value)?;
        let before = self.memory.as_bytes();
        let written = before.len()..before.len();
        let (frame, after) = (&self.frame, &[][..]);
        // An output that is a constant keeps a model from being joined.
        let own = if let Parts::All(own) = parts { own } else { Own::default() };
        let window = Window { sizes: &frame.sizes, cut: None, own };
        let all = Operands { plan, inputs, frame, window, before, after, written };
        let bytes = all.bytes(value)?;
        Ok(((0..shape.rank).map(move |at| shape.get(at).map_or(0, |it| *it as u64)), bytes))
    }
}

impl Frame {
    /// Says that a step was done for all rows.
    pub(super) fn wrote(&mut self, plan: &PackedPlan, step: &ArchivedStep) {
        let (_, to) = step.operands();
        let Some(ArchivedPlace::Slot(slot)) = plan.plan().value(to).map(|it| &it.place) else {
            return;
        };
        let length = self.sizes.length(to).unwrap_or(0);
        if let Some(written) = self.written.get_mut(slot.to_native() as usize) {
            *written = length;
        }
    }

    /// Whether this run wrote all of a value that is in a slot.
    fn has(&self, slot: u32, value: u32) -> bool {
        let written = self.written.get(slot as usize);
        self.sizes.length(value).zip(written).is_some_and(|(length, written)| length <= *written)
    }

    /// Where the rows of a value are that `window` shows.
    fn range(&self, plan: &PackedPlan, window: &Window<'_>, value: u32) -> Option<Range<usize>> {
        let ArchivedPlace::Slot(slot) = plan.plan().value(value)?.place else { return None };
        let slot = self.slots.get(slot.to_native() as usize)?;
        let all = self.sizes.length(value)?;
        let range = window.of(value, all)?;
        (all <= slot.len()).then(|| slot.start + range.start..slot.start + range.end)
    }
}

/// What a step may read: everything but what it writes.
pub(super) struct Operands<'a> {
    pub(super) plan: &'a PackedPlan,
    inputs: &'a Inputs,
    frame: &'a Frame,
    window: Window<'a>,
    before: &'a [u8],
    after: &'a [u8],
    written: Range<usize>,
}

impl<'a> Operands<'a> {
    /// What `step` reads, and what it writes, of the rows in `window`.
    pub(super) fn around(
        plan: &'a PackedPlan,
        inputs: &'a Inputs,
        frame: &'a Frame,
        window: Window<'a>,
        memory: &'a mut [u64],
        step: &ArchivedStep,
    ) -> Result<(Self, &'a mut [u8]), Fault> {
        let (_, to) = step.operands();
        let nowhere = Fault::Plan { what: "a step that writes to no slot" };
        let written = frame.range(plan, &window, to).ok_or(nowhere)?;
        let (before, rest) = memory.as_mut_bytes().split_at_mut(written.start);
        let (output, after) = rest.split_at_mut(written.len());
        Ok((Self { plan, inputs, frame, window, before, after, written }, output))
    }

    pub(super) fn shape(&self, value: u32) -> Result<Shape, Fault> {
        self.window.sizes.shape(self.plan, value)
    }

    pub(super) fn dimension(&self, at: u32) -> Result<usize, Fault> {
        self.window.sizes.dimension(at)
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
                self.input(at.to_native()).and_then(plain).and_then(|all| {
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
            ArchivedPlace::Slot(slot) if self.frame.has(slot.to_native(), value) => {
                self.frame.range(self.plan, &self.window, value).and_then(|range| {
                    if range.end <= self.written.start {
                        self.before.get(range)
                    } else {
                        let start = range.start.checked_sub(self.written.end)?;
                        self.after.get(start..start + range.len())
                    }
                })
            }
            ArchivedPlace::Slot(_) => None,
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

/// What a step writes, as numbers.
pub(super) fn written<T>(output: &mut [u8]) -> Result<&mut [T], Fault>
where
    T: FromBytes + IntoBytes + KnownLayout,
{
    <[T]>::mut_from_bytes(output).map_err(|_| Fault::Plan { what: "an output of another kind" })
}
