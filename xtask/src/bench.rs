//! `cargo xtask bench`.

use anyhow::Result;

use crate::{
    build,
    command::{cargo, run as run_command},
    envoy,
    phase::phase,
};

/// Fetches and builds what the benches need, then runs the one named, or lists them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let envoy = phase("Envoy", envoy::provide)?;
    let wasm = phase("WebAssembly filters", build::wasm_filters)?;
    phase("bench", || {
        run_command(
            cargo()
                .args(["run", "--package", "bench", "--"])
                .args(arguments)
                .env(envoy::VARIABLE, &envoy)
                .env(build::WASM_VARIABLE, &wasm),
        )
    })
}
