//! Where the filters' WebAssembly is.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use scenario::Filters;

#[derive(Debug, Args)]
pub(crate) struct FilterArguments {
    /// The folder with gate.wasm and recheck.wasm.
    #[arg(long, value_name = "DIR", env = "BULKHEAD_WASM_DIR")]
    wasm_dir: Option<PathBuf>,
    /// Where the filters are kept compiled; only you should be able to write there. `bulkhead` in
    /// your cache folder where it is not said.
    #[arg(long, value_name = "DIR", env = "BULKHEAD_WASM_CACHE")]
    wasm_cache: Option<PathBuf>,
}

impl FilterArguments {
    /// The filters, compiled.
    pub(crate) fn load(&self) -> Result<Filters> {
        let folder = self.wasm_dir.as_ref().ok_or_else(|| {
            anyhow!(
                "expected --wasm-dir or BULKHEAD_WASM_DIR to name the folder with gate.wasm and \
                 recheck.wasm, found neither; `cargo xtask wasm` builds them, and `--over native` \
                 does without"
            )
        })?;
        let cache = self.wasm_cache.clone().or_else(default_cache);
        Ok(Filters::load(folder, cache.as_deref())?)
    }
}

/// The folder for it by the XDG Base Directory Specification.
fn default_cache() -> Option<PathBuf> {
    let named = |variable: &str| {
        std::env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
    };
    let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    Some(caches.join("bulkhead/wasm"))
}
