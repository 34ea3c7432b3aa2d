//! `cargo xtask bless`.

use anyhow::Result;

use crate::{
    build,
    command::{program, run as run_command},
    phase::phase,
};

/// Where scenarios lie.
const SCENARIOS: [&str; 2] = ["tests/scenarios", "policies/catalog"];

/// Writes what the filters do into the scenarios as what is expected, and shows the change, which
/// is for review. `arguments` are scenarios, where not all are meant.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let wasm = phase("WebAssembly filters", build::wasm_filters)?;
    let bulkhead = phase("bulkhead", build::bulkhead)?;
    phase("scenarios", || {
        let mut bless = program(&bulkhead);
        bless.args(["policy", "test", "--bless"]).env(build::WASM_VARIABLE, &wasm);
        if arguments.is_empty() {
            bless.args(SCENARIOS);
        } else {
            bless.args(arguments);
        }
        run_command(&mut bless)
    })
}
