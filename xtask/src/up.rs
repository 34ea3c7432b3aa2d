//! `cargo xtask up`.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::{build, command::program, envoy, phase::phase};

/// Fetches and builds what `bulkhead up` needs, then becomes it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let envoy = phase("Envoy", envoy::provide)?;
    let wasm = phase("WebAssembly filters", build::wasm_filters)?;
    let bulkhead = phase("bulkhead", build::bulkhead)?;
    eprintln!();
    let error = program(&bulkhead)
        .arg("up")
        .args(arguments)
        .env(envoy::VARIABLE, envoy)
        .env(build::WASM_VARIABLE, wasm)
        .exec();
    Err(error).with_context(|| format!("could not start {}", bulkhead.display()))
}
