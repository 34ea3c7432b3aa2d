//! What guests can call: module `env` of the ABI, and the part of WASI that Rust's std uses.

mod buffers;
mod foreign;
mod grpc;
mod headers;
mod http_call;
mod metrics;
mod process;
mod properties;
mod queues;
mod shared;
mod streams;
mod wasi;

use wasmtime::Linker;

use crate::state::HostState;

/// Defines every import of ABI 0.2.1, so that every filter of the SDK links.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    buffers::link(linker)?;
    foreign::link(linker)?;
    grpc::link(linker)?;
    headers::link(linker)?;
    http_call::link(linker)?;
    metrics::link(linker)?;
    process::link(linker)?;
    properties::link(linker)?;
    queues::link(linker)?;
    shared::link(linker)?;
    streams::link(linker)?;
    wasi::link(linker)
}
