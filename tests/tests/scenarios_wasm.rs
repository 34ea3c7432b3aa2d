//! Every promise in `tests/scenarios/`, over the WebAssembly that Envoy loads, in wasmtime.

use anyhow::Result;
use devstack::environment;
use scenario::{Filters, Native, Verification, Wasm};
use tests::{decide_alike, keep_every_promise, scenarios};

#[test]
fn the_wasm_filters_keep_every_promise_and_decide_as_the_native_core_does() -> Result<()> {
    let suite = scenarios()?;
    let cache = environment::repository().join(".bulkhead/cache/wasm");
    let filters = Filters::load(&environment::wasm_dir()?, Some(&cache))?;
    let wasm = keep_every_promise(&suite, &mut Wasm::new(&filters))?;
    let native = keep_every_promise(&suite, &mut Native::new(Verification::ByHost))?;
    decide_alike(&suite, &wasm, &native)
}
