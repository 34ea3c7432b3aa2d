//! The backend that runs everywhere: tract on the CPU.

mod confined;
mod convert;
mod graph;
mod model;

use std::sync::Arc;

use crate::{Backend, Limits, LoadError, Model};

/// Loads models for the CPU. One request runs on the one thread that calls
/// [`Model::infer`], so that how many cores a tenant gets is the scheduler's choice.
///
/// # Against hostile files
///
/// A file may come from a tenant's own training. Its bytes are decoded with bounds, symbolic
/// dimensions never reach tract's expression parser (which recurses), external data is refused,
/// intermediate tensors are bounded by [`Limits`], and a panic inside tract becomes an error, so
/// that one tenant's bad graph does not end the requests of the others. That last guard needs
/// unwinding: a build with `panic = "abort"` does without it. Not held here: a graph that computes
/// for very long, or whose shapes depend on values and grow without bound. Those need a process
/// with its own limits on time and memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuBackend {
    limits: Limits,
}

impl CpuBackend {
    /// A backend that holds every request to `limits`.
    pub const fn new(limits: Limits) -> Self {
        Self { limits }
    }
}

impl Backend for CpuBackend {
    fn load(&self, onnx: &[u8]) -> Result<Arc<dyn Model>, LoadError> {
        Ok(Arc::new(model::CpuModel::load(onnx, self.limits)?))
    }

    fn name(&self) -> &'static str {
        "cpu"
    }
}
