//! Models on a device, through wgpu.
//!
//! [`GpuBackend`] wraps the CPU's backend: what has a plan may run on a device, and whatever a device
//! does not answer, because it has no room, is lost, or was measured to be slower, the CPU does. So a
//! request fails here for the reasons alone for which it fails there.
//!
//! What a step of a plan is on a device is said by the crate `shaders`; here is the device itself:
//! how it is opened and opened again ([`Device`]), its memory, and how a run goes through it. This
//! crate knows nothing of tenants, caches or HTTP. Memory that one model or run wrote is zeroed before
//! another gets it. Start with [`Device::open`], then [`GpuBackend`].

mod backend;
mod device;
mod memory;
mod model;
mod pipelines;
mod placement;
mod program;
mod run;

#[cfg(test)]
extern crate self as gpu;
#[cfg(test)]
#[path = "../tests/llvmpipe/mod.rs"]
mod llvmpipe;
#[cfg(test)]
#[path = "../../inference/tests/onnx/mod.rs"]
mod onnx;

pub use backend::GpuBackend;
pub use device::{
    Adapter, Choice, Device, DeviceStats, Settings, adapters, driver_threads_end_within,
};
pub use inference::DeviceError;
pub use model::PlacedModel;
pub use placement::{Mode, Placement, Side};
pub use program::{Place, where_steps_run};
