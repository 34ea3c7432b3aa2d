//! What is built: the `bulkhead` binary and the WebAssembly filters.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{cargo, find, output, program, run},
    workspace,
};

const WASM_TARGET: &str = "wasm32-wasip1";

/// The packages that are WebAssembly filters.
const FILTERS: [&str; 2] = ["gate", "recheck"];

/// The variable that names the `bulkhead` binary to tests.
pub(crate) const BINARY_VARIABLE: &str = "BULKHEAD_BIN";

/// The variable that names the folder of the WebAssembly filters.
pub(crate) const WASM_VARIABLE: &str = "BULKHEAD_WASM_DIR";

/// Builds `bulkhead` and returns its path.
pub(crate) fn bulkhead() -> Result<PathBuf> {
    // As a part of the workspace: by itself it would have its dependencies with other features than
    // tests and benches have them, and so build them once more.
    run(cargo().args(["build", "--workspace", "--bin", "bulkhead"]))?;
    Ok(workspace::target().join("debug/bulkhead"))
}

/// Builds the filters and returns their folder.
pub(crate) fn wasm_filters() -> Result<PathBuf> {
    ensure_wasm_target()?;
    let mut build = cargo();
    build.args(["build", "--release", "--target", WASM_TARGET]);
    for filter in FILTERS {
        build.args(["--package", filter]);
    }
    run(&mut build)?;
    let built = workspace::target().join(WASM_TARGET).join("release");
    let filters = workspace::target().join("filters");
    fs::create_dir_all(&filters)?;
    for filter in FILTERS {
        let file = format!("{filter}.wasm");
        let (from, to) = (built.join(&file), filters.join(&file));
        fs::copy(&from, &to).with_context(|| format!("could not copy {}", from.display()))?;
    }
    Ok(filters)
}

fn ensure_wasm_target() -> Result<()> {
    if has_wasm_target() {
        return Ok(());
    }
    if find("rustup").is_none() {
        bail!(
            "expected the Rust target {WASM_TARGET}, found no rustup to add it; install Rust from https://rustup.rs, or your distribution's package of that target (Debian and Ubuntu: libstd-rust-dev-wasm32)"
        );
    }
    eprintln!("adding the Rust target {WASM_TARGET}");
    run(program("rustup").args(["target", "add", WASM_TARGET]))
        .map_err(|error| error.context("it needs a network that reaches static.rust-lang.org"))
}

fn has_wasm_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot: Option<String> =
        output(Command::args(&mut program(rustc), ["--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| {
        PathBuf::from(sysroot).join("lib/rustlib").join(WASM_TARGET).join("lib").is_dir()
    })
}
