//! What a plan comes to in one run.

use super::{ArchivedPlace, MAX_RANK, PackedPlan};
use crate::{Inputs, Limits, Tensor};

/// What a plan comes to in one run, and which tensor of the request is which input. It is used again
/// for the next run and then allocates nothing.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub(crate) sizes: Sizes,
    order: Vec<usize>,
}

/// What the symbols of a plan come to in one run, or in a part of its rows, and what follows.
#[derive(Debug, Clone, Default)]
pub struct Sizes {
    pub(crate) symbols: Vec<i64>,
    dimensions: Vec<usize>,
    lengths: Vec<usize>,
}

/// Why a plan comes to nothing in a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It refers to what is not there.
    #[error("the plan does not fit together: {what}")]
    Plan {
        /// What is wrong.
        what: &'static str,
    },
    /// A tensor passes [`Limits::max_tensor_bytes`].
    #[error("expected a tensor of at most {limit} bytes, found one that needs {bytes}")]
    TooLarge {
        /// The bytes that it would need.
        bytes: u64,
        /// The most that is accepted.
        limit: u64,
    },
}

impl Frame {
    /// Reads the symbols of `plan` from `inputs`, which were checked against its signature, and
    /// evaluates everything that follows from them.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn bind(
        &mut self,
        plan: &PackedPlan,
        inputs: &Inputs,
        limits: Limits,
    ) -> Result<(), FrameError> {
        let missing = || FrameError::Plan { what: "an input that the request has not" };
        self.order.clear();
        for input in plan.package().header().inputs.iter() {
            let named = |it: &Tensor| it.name() == input.name.as_str();
            self.order.push(inputs.tensors().iter().position(named).ok_or_else(missing)?);
        }
        self.sizes.symbols.clear();
        for symbol in plan.plan().symbols.iter() {
            let tensor = self.input(inputs, symbol.input.to_native()).ok_or_else(missing)?;
            let dimension = tensor.shape().get(symbol.axis.to_native() as usize);
            let value = dimension.and_then(|it| i64::try_from(*it).ok()).ok_or_else(missing)?;
            self.sizes.symbols.push(value);
        }
        self.sizes.evaluate(plan)?;
        let limit = limits.max_tensor_bytes;
        for (at, (value, bytes)) in plan.plan().values.iter().zip(&self.sizes.lengths).enumerate() {
            let bytes = *bytes as u64;
            let is_held = matches!(value.place, ArchivedPlace::Slot(_));
            if is_held && bytes > limit && !plan.is_streamed(at as u32) {
                return Err(FrameError::TooLarge { bytes, limit });
            }
        }
        Ok(())
    }

    /// What everything comes to.
    pub const fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Every dimension of the plan.
    pub fn dimensions(&self) -> &[usize] {
        &self.sizes.dimensions
    }

    /// As [`Sizes::shape`].
    ///
    /// # Errors
    /// As of it.
    pub fn shape(&self, plan: &PackedPlan, value: u32) -> Result<Shape, FrameError> {
        self.sizes.shape(plan, value)
    }

    /// As [`Sizes::length`].
    pub fn bytes(&self, value: u32) -> Option<usize> {
        self.sizes.length(value)
    }

    /// The elements of a value that is an input of the request or a constant of the package, as they
    /// lie in memory; none of others, and none of text.
    pub fn given<'a>(
        &self,
        plan: &'a PackedPlan,
        inputs: &'a Inputs,
        value: u32,
    ) -> Option<&'a [u8]> {
        let (row, length) = (plan.plan().value(value)?, self.bytes(value)?);
        let bytes = match &row.place {
            ArchivedPlace::Input(at) => self.input(inputs, at.to_native())?.data().bytes()?,
            ArchivedPlace::Constant(at) => {
                let at = usize::try_from(at.to_native()).ok()?;
                plan.constants().get(at..at.checked_add(length)?)?
            }
            ArchivedPlace::Slot(_) => return None,
        };
        (bytes.len() == length).then_some(bytes)
    }

    /// The tensor of the request that is this input of the model.
    pub fn input<'i>(&self, inputs: &'i Inputs, at: u32) -> Option<&'i Tensor> {
        let at = *self.order.get(at as usize)?;
        inputs.tensors().get(at)
    }
}

impl Sizes {
    /// Finds them for the symbols that it has.
    pub(crate) fn evaluate(&mut self, plan: &PackedPlan) -> Result<(), FrameError> {
        self.dimensions.clear();
        for dimension in plan.plan().dimensions.iter() {
            let value = dimension.evaluate(&self.symbols);
            self.dimensions.push(value.ok_or(FrameError::Plan { what: "a dimension below 0" })?);
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

    /// A dimension of the plan.
    ///
    /// # Errors
    /// [`FrameError::Plan`] where there is none.
    pub fn dimension(&self, at: u32) -> Result<usize, FrameError> {
        let found = self.dimensions.get(at as usize).copied();
        found.ok_or(FrameError::Plan { what: "a dimension that there is not" })
    }

    /// The dimensions of a value.
    ///
    /// # Errors
    /// [`FrameError::Plan`] where there is none, or it has more than [`MAX_RANK`].
    pub fn shape(&self, plan: &PackedPlan, value: u32) -> Result<Shape, FrameError> {
        let none = FrameError::Plan { what: "a value that there is not" };
        let value = plan.plan().value(value).ok_or(none)?;
        let mut shape = Shape::default();
        for at in value.shape.iter() {
            shape.push(self.dimension(at.to_native())?)?;
        }
        Ok(shape)
    }

    /// How many bytes the elements of a value take in memory: none where it is text.
    pub fn length(&self, value: u32) -> Option<usize> {
        self.lengths.get(value as usize).copied()
    }
}

/// A few dimensions without memory of their own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape {
    pub(crate) numbers: [usize; MAX_RANK],
    pub(crate) rank: usize,
}

impl Shape {
    pub(crate) fn push(&mut self, number: usize) -> Result<(), FrameError> {
        let too_many = FrameError::Plan { what: "too many dimensions" };
        *self.numbers.get_mut(self.rank).ok_or(too_many)? = number;
        self.rank += 1;
        Ok(())
    }
}

impl std::ops::Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        self.numbers.get(..self.rank).unwrap_or_default()
    }
}
