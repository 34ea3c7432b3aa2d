//! Every promise in `tests/scenarios/`, over the WebAssembly that Envoy loads, in wasmtime.

use anyhow::Result;
use tests::scenario::{Deployment, run_all, wasm::Wasm};

#[test]
fn the_wasm_filters_keep_every_promise() -> Result<()> {
    let deployment = Deployment::load()?;
    run_all(&deployment, &mut Wasm::start(&deployment)?)
}
