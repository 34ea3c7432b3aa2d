//! What wgpu takes on its caller's word.
#![allow(unsafe_code, reason = "wgpu asks for it where it cannot check what it is given")]

use wgpu::{Device, ExperimentalFeatures, PipelineCache, PipelineCacheDescriptor};

/// Leave to use features that wgpu calls experimental: cooperative matrices.
pub(super) const fn experimental() -> ExperimentalFeatures {
    // SAFETY: wgpu asks that it be known that such features may have faults that safe code can reach.
    // The one that is asked for, cooperative matrices, is used by shaders of this workspace alone,
    // which are checked against the CPU's answers; no shader comes from outside.
    unsafe { ExperimentalFeatures::enabled() }
}

/// A cache of pipelines, with what an earlier one was saved as. The device has to have the feature
/// `PIPELINE_CACHE`.
pub(super) fn pipeline_cache(device: &Device, saved: Option<&[u8]>) -> PipelineCache {
    let descriptor = PipelineCacheDescriptor { label: None, data: saved, fallback: true };
    // SAFETY: `saved` must be what `PipelineCache::get_data` once gave. The caller upholds this:
    // `PipelineFile::read` gives nothing but bytes whose SHA-256 stands before them, in a file that
    // this process's user alone can write (mode 0600) and that `PipelineFile::write` wrote whole, so
    // that a file that was cut off or damaged is not used. Whoever can forge it as this user can
    // replace the program as well. wgpu itself checks that the bytes are of this adapter and driver.
    unsafe { device.create_pipeline_cache(&descriptor) }
}
