//! Every promise in `tests/scenarios/`, over the WebAssembly that Envoy loads, in wasmtime.

use std::collections::BTreeSet;

use anyhow::Result;
use devstack::environment;
use scenario::{Filters, Native, Verification, Wasm};
use tests::{decide_alike, keep_every_promise, scenarios};
use wasmparser::{Parser, Payload};

#[test]
fn the_wasm_filters_keep_every_promise_and_decide_as_the_native_core_does() -> Result<()> {
    let suite = scenarios()?;
    let cache = environment::repository().join(".bulkhead/cache/wasm");
    let filters = Filters::load(&environment::wasm_dir()?, Some(&cache))?;
    let wasm = keep_every_promise(&suite, &mut Wasm::new(&filters))?;
    let native = keep_every_promise(&suite, &mut Native::new(Verification::ByHost))?;
    decide_alike(&suite, &wasm, &native)
}

/// Envoy makes every call that is exported, several a request, whether or not anything is done in it.
#[test]
fn the_filters_export_what_they_have_a_use_for_and_nothing_else() -> Result<()> {
    let used = BTreeSet::from([
        "_initialize",
        "memory",
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_context_create",
        "proxy_on_memory_allocate",
        "proxy_on_request_headers",
    ]);
    for filter in ["gate.wasm", "recheck.wasm"] {
        let code = std::fs::read(environment::wasm_dir()?.join(filter))?;
        let mut exported = BTreeSet::new();
        for payload in Parser::new(0).parse_all(&code) {
            if let Payload::ExportSection(exports) = payload? {
                for export in exports {
                    exported.insert(export?.name);
                }
            }
        }
        assert_eq!(exported, used, "{filter}");
    }
    Ok(())
}
