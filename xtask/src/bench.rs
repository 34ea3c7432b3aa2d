//! `cargo xtask bench`.

use anyhow::Result;

use crate::{
    build,
    command::{cargo, program, run as run_command},
    envoy,
    phase::phase,
    python, workspace,
};

/// The variable that names the Python with onnxruntime to the bench of the engine.
const ONNX_PYTHON: &str = "BULKHEAD_ONNX_PYTHON";

/// Fetches and builds what the bench that is named needs, then runs it; without a name, lists them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    // As a part of the workspace: by itself it would have its dependencies with other features, and
    // so build them once more.
    let built = || run_command(cargo().args(["build", "--workspace", "--bin", "bench"]));
    phase("building the bench", built)?;
    let mut bench = program(workspace::target().join("debug/bench"));
    bench.args(arguments);
    let name = arguments.first().map_or("", String::as_str);
    if matches!(name, "device" | "engine") {
        bench.env(ONNX_PYTHON, phase("Python with onnxruntime", python::with_onnxruntime)?);
    }
    if matches!(name, "gate" | "push" | "server") {
        bench.env(envoy::VARIABLE, phase("Envoy", envoy::provide)?);
        bench.env(build::WASM_VARIABLE, phase("WebAssembly filters", build::wasm_filters)?);
    }
    if matches!(name, "fairness" | "server") {
        bench.env(build::BINARY_VARIABLE, phase("bulkhead", build::bulkhead)?);
    }
    phase("bench", || run_command(&mut bench))
}
