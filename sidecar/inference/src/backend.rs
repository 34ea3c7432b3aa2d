//! The seam between the server and what computes.

use std::{any::Any, sync::Arc};

use artifact::Mapped;
use tenancy::Digest;

use crate::{DeviceError, InferError, Inputs, LoadError, Outputs, Signature};

/// Turns model files into models that run on one kind of processor.
///
/// What is computed is said by a package's [`crate::plan::Plan`], which knows nothing of how: a
/// backend for another processor reads the same plan, and takes the weights from whichever layout
/// of panels it can read, or unpacks one (`kernels::Panels::unpack`).
pub trait Backend: Send + Sync {
    /// Prepares a file to run: a package (`.bha`), or an ONNX file. Blocks: a package with a plan
    /// takes time by the size of its graph, tens of microseconds, and the first time on a node that
    /// reads none of its layouts by the size of its weights; everything else is parsed and
    /// optimised, which takes milliseconds to seconds.
    ///
    /// The model keeps the file mapped for as long as it needs it.
    ///
    /// # Errors
    /// A [`LoadError`] for every file that cannot be run; no content of a file ends the process by
    /// a panic.
    fn load(&self, file: &Mapped) -> Result<Arc<dyn Model>, LoadError>;

    /// Prepares a package that changes another one ([`artifact::Header::base`]), which this backend
    /// loaded before as `base`. The model keeps `base` for as long as it is there.
    ///
    /// # Errors
    /// A [`LoadError`], as of [`Backend::load`]; [`LoadError::Base`] by a backend that cannot.
    fn load_over(&self, file: &Mapped, base: &Arc<dyn Model>) -> Result<Arc<dyn Model>, LoadError> {
        let _ = (file, base);
        Err(LoadError::Base)
    }

    /// The backend's name, for logs and metrics.
    fn name(&self) -> &'static str;
}

/// A model that is ready to run, from any number of threads at once.
pub trait Model: Any + Send + Sync {
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

    /// As [`Model::infer`], into tensors that an earlier answer left. A backend that can, uses
    /// their memory again and allocates none.
    ///
    /// # Errors
    /// As of [`Model::infer`]; `outputs` then holds nothing to rely on.
    fn infer_into(&self, inputs: &Inputs, outputs: &mut Outputs) -> Result<(), InferError> {
        *outputs = self.infer(inputs.clone())?;
        Ok(())
    }

    /// The models with which it can be run as one: all of the same family, by any of them. None where
    /// it runs alone.
    fn family(&self) -> Option<Digest> {
        None
    }

    /// Answers a joint request whose rows are of several models of its family: the first rows are of the
    /// first part, and so on, and there are as many as the parts say. Each row is answered as its own
    /// model answers it alone, within what kernels' orders of adding differ by.
    ///
    /// # Errors
    /// As of [`Model::infer`], where any part fails; which one did is not said.
    fn infer_together(
        &self,
        inputs: &Inputs,
        parts: &[Part<'_>],
        outputs: &mut Outputs,
    ) -> Result<(), InferError> {
        *outputs = crate::join::one_after_another(inputs, parts)?;
        Ok(())
    }

    /// About how many bytes of memory the model keeps for itself, beside what it has mapped.
    fn private_bytes(&self) -> u64;

    /// How many bytes of files the model keeps mapped beside its own.
    fn mapped_bytes(&self) -> u64 {
        0
    }

    /// What the model can be on beside the processor that always answers, where it can.
    fn on_device(&self) -> Option<&dyn OnDevice> {
        None
    }

    /// Why the model runs without the backend's optimisations, where it does.
    fn unoptimised(&self) -> Option<&str> {
        None
    }
}

/// A model's place on a device, for a cache to give and to take. The model answers all the same where
/// it has none.
pub trait OnDevice: Send + Sync {
    /// How many bytes of device memory its weights take there: its own. Those of a base are the base's,
    /// which is there for as long as one of its adapters is.
    fn bytes(&self) -> u64;

    /// Whether it is there now.
    fn is_there(&self) -> bool;

    /// Whether requests would be answered sooner with it there, as far as that was measured. Until it
    /// was, they would.
    fn is_wanted(&self) -> bool;

    /// Brings the weights there, and measures where requests are answered sooner, if that was not
    /// done. Blocks, for as long as both take. One that is there stays.
    ///
    /// # Errors
    /// A [`DeviceError`]; the model then is where it was.
    fn bring(&self) -> Result<(), DeviceError>;

    /// Gives the memory back, emptied. Requests that run there end there.
    fn let_go(&self);
}

/// Some rows of a joint request, and the model that answers them.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// How many rows are its.
    pub rows: u64,
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
