//! `cargo xtask test`.

use anyhow::Result;

use crate::{
    build, clients,
    command::{cargo, run as run_command},
    envoy,
    phase::phase,
    vulkan,
};

/// Fetches and builds what the tests need, then runs all of them. `arguments` go to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let envoy = phase("Envoy", envoy::provide)?;
    let wasm = phase("WebAssembly filters", build::wasm_filters)?;
    let bulkhead = phase("bulkhead", build::bulkhead)?;
    phase("a Vulkan device", vulkan::provide)?;
    let clients = phase("clients of the inference protocol", clients::provide)?;
    phase("tests", || {
        run_command(
            cargo()
                .args(["test", "--workspace"])
                .args(arguments)
                .env(envoy::VARIABLE, &envoy)
                .env(build::WASM_VARIABLE, &wasm)
                .env(build::BINARY_VARIABLE, &bulkhead)
                // Mesa's layer that chooses among devices complains where there is no desktop.
                .env("NODEVICE_SELECT", "1")
                .envs(clients.map(|python| (clients::VARIABLE, python))),
        )
    })
}
