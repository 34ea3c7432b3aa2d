//! The seam between the server and what computes.

use std::sync::Arc;

use crate::{InferError, Inputs, LoadError, Outputs, Signature};

/// Turns model files into models that run on one kind of processor.
pub trait Backend: Send + Sync {
    /// Reads an ONNX file and prepares it to run. Blocks, for milliseconds to seconds.
    ///
    /// `onnx` may be a mapped file: nothing of it is kept that would need it to stay mapped.
    ///
    /// # Errors
    /// A [`LoadError`] for every file that cannot be run; no content of a file ends the process by
    /// a panic.
    fn load(&self, onnx: &[u8]) -> Result<Arc<dyn Model>, LoadError>;

    /// The backend's name, for logs and metrics.
    fn name(&self) -> &'static str;
}

/// A model that is ready to run, from any number of threads at once.
pub trait Model: Send + Sync {
    /// What it takes and gives.
    fn signature(&self) -> &Signature;

    /// The most rows that one request may have: [`Limits::max_batch`], or less where the model's
    /// intermediate tensors would pass [`Limits::max_tensor_bytes`].
    fn max_batch(&self) -> u64;

    /// Answers one request. Blocks, and uses one thread.
    ///
    /// # Errors
    /// An [`InferError`] that is the caller's where the inputs do not fit the signature, and the
    /// model's where it fails on them.
    fn infer(&self, inputs: Inputs) -> Result<Outputs, InferError>;

    /// About how many bytes of memory the model keeps for itself, beside its mapped file.
    fn private_bytes(&self) -> u64;

    /// Why the model runs without the backend's optimisations, where it does.
    fn unoptimised(&self) -> Option<&str> {
        None
    }
}

/// How much one request may ask of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most rows in one request.
    pub max_batch: u64,
    /// The most bytes in one tensor of a model's graph, as far as its shape follows from the
    /// batch. A model that passes this with one row is refused.
    pub max_tensor_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_batch: 1024, max_tensor_bytes: 256 << 20 }
    }
}
