//! Models on a device, through wgpu.
