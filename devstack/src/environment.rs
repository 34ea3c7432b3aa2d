//! Where the programs are that `cargo xtask` fetched and built.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The variable that names Envoy.
pub const ENVOY: &str = "BULKHEAD_ENVOY";

/// The variable that names the `bulkhead` binary.
pub const BULKHEAD: &str = "BULKHEAD_BIN";

/// The variable that names the folder with `gate.wasm` and `recheck.wasm`.
pub const WASM_DIR: &str = "BULKHEAD_WASM_DIR";

/// Envoy.
///
/// # Errors
/// Where [`ENVOY`] is not set or names no file.
pub fn envoy() -> Result<PathBuf> {
    named(ENVOY, "an Envoy", Path::is_file)
}

/// The `bulkhead` binary.
///
/// # Errors
/// Where [`BULKHEAD`] is not set or names no file.
pub fn bulkhead() -> Result<PathBuf> {
    named(BULKHEAD, "the bulkhead binary", Path::is_file)
}

/// The folder with `gate.wasm` and `recheck.wasm`.
///
/// # Errors
/// Where [`WASM_DIR`] is not set or names no folder.
pub fn wasm_dir() -> Result<PathBuf> {
    named(WASM_DIR, "the folder of the WebAssembly filters", Path::is_dir)
}

/// The root of the repository that this was built from.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

fn named(variable: &str, what: &str, is_it: fn(&Path) -> bool) -> Result<PathBuf> {
    const MEND: &str = "`cargo xtask test` and `cargo xtask up` set it up";
    let path = std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("expected {variable} to name {what}, found it unset; {MEND}"))?;
    if !is_it(&path) {
        bail!("expected {variable} to name {what}, found `{}`; {MEND}", path.display());
    }
    Ok(path)
}
