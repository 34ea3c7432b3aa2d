//! What goes into a model and what comes out.

use crate::{InferError, Signature, Tensor, plan::Shape};

/// The tensors of one request, each name once.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    tensors: Vec<Tensor>,
}

impl Inputs {
    /// The tensors of one request, in any order.
    ///
    /// # Errors
    /// [`InferError::DuplicateInput`] where two tensors have one name: neither could be preferred.
    pub fn new(tensors: Vec<Tensor>) -> Result<Self, InferError> {
        let mut names: Vec<&str> = tensors.iter().map(Tensor::name).collect();
        names.sort_unstable();
        match names.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some((*one).to_owned()),
            _ => None,
        }) {
            Some(input) => Err(InferError::DuplicateInput { input }),
            None => Ok(Self { tensors }),
        }
    }

    /// The tensors, in the order in which they were given.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// How many rows the request claims: the first dimension of its first tensor, and 1 where
    /// that is a scalar or there is none.
    ///
    /// This is before any model was asked. What was served, and is to be metered, is
    /// [`Outputs::batch`]; the two differ only for models that take tensors with a batch
    /// dimension beside tensors without.
    pub fn batch(&self) -> u64 {
        self.tensors.first().and_then(|tensor| tensor.shape().first()).copied().unwrap_or(1)
    }

    /// How much memory they hold, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let of_tensor = |it: &Tensor| {
            let head = size_of::<Tensor>() + it.name().len() + size_of_val(it.shape());
            head as u64 + it.data().memory_bytes()
        };
        self.tensors.iter().map(of_tensor).sum()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name() == name)
    }

    pub(crate) fn into_tensors(self) -> Vec<Tensor> {
        self.tensors
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Tensor> {
        let at = self.tensors.iter().position(|tensor| tensor.name() == name)?;
        Some(self.tensors.swap_remove(at))
    }
}

/// The tensors of one answer, in the order of the model's signature.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outputs {
    batch: u64,
    tensors: Vec<Tensor>,
}

impl Outputs {
    pub(crate) const fn new(batch: u64, tensors: Vec<Tensor>) -> Self {
        Self { batch, tensors }
    }

    /// Makes it an answer of `batch` rows by a model of `signature`, in the memory that it has. `of`
    /// gives the dimensions and the elements of each output, as plans have them in memory.
    ///
    /// # Errors
    /// What `of` fails with.
    pub fn write<'b, E>(
        &mut self,
        batch: u64,
        signature: &Signature,
        mut of: impl FnMut(usize) -> Result<(Shape, &'b [u8]), E>,
    ) -> Result<(), E> {
        self.batch = batch;
        self.tensors.resize_with(signature.outputs.len(), Tensor::default);
        for (at, (spec, tensor)) in signature.outputs.iter().zip(&mut self.tensors).enumerate() {
            let (shape, bytes) = of(at)?;
            let shape = shape.iter().map(|it| *it as u64);
            tensor.write(&spec.name, shape, spec.datatype, bytes);
        }
        Ok(())
    }

    /// How many rows were answered, as [`Signature::check`](crate::Signature::check) counted them.
    pub const fn batch(&self) -> u64 {
        self.batch
    }

    /// The tensors, in the order of the model's signature.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensors, to keep.
    pub fn into_tensors(self) -> Vec<Tensor> {
        self.tensors
    }
}
