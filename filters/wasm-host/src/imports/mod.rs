//! What guests can call: module `env` of the ABI, and the part of WASI that Rust's std uses.

mod buffers;
mod callouts;
mod foreign;
mod headers;
mod metrics;
mod process;
mod properties;
mod shared;
mod streams;
mod wasi;

pub(crate) use streams::response_headers;
use wasmtime::Linker;

use crate::state::HostState;

/// Defines every import of ABI 0.2.1, so that every filter of the SDK links.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    buffers::link(linker)?;
    callouts::link(linker)?;
    foreign::link(linker)?;
    headers::link(linker)?;
    metrics::link(linker)?;
    process::link(linker)?;
    properties::link(linker)?;
    shared::link(linker)?;
    streams::link(linker)?;
    wasi::link(linker)
}
