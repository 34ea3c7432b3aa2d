//! Compiled filters.

use std::fmt;
use std::path::Path;

use wasmtime::{Cache, CacheConfig, Config, InstancePre, Linker};

use crate::error::ModuleError;
use crate::imports;
use crate::state::HostState;

const ABI_PREFIX: &str = "proxy_abi_version_";
const ABI_VERSION: &str = "proxy_abi_version_0_2_1";

/// Where modules are compiled. One serves any number of modules and VMs; clones are cheap.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    cache: Option<Cache>,
}

impl Engine {
    /// An engine for this machine.
    ///
    /// # Errors
    /// [`ModuleError::Engine`] where the machine has no backend.
    pub fn new() -> Result<Self, ModuleError> {
        Self::make(None)
    }

    /// An engine that keeps what it compiles in `folder`, by what was compiled and how, so that the
    /// next process reads it in milliseconds. The folder is made where it is not there; wasmtime keeps
    /// it within 512 MiB, and a changed module, engine or machine is compiled anew.
    ///
    /// What lies there is run as it is: give a folder that only those can write to whom you would let
    /// change the program.
    ///
    /// # Errors
    /// [`ModuleError::Cache`] where the folder cannot be used, and as of [`Engine::new`].
    pub fn cached(folder: impl AsRef<Path>) -> Result<Self, ModuleError> {
        let folder = folder.as_ref();
        let refused = |reason: String| ModuleError::Cache { folder: folder.to_owned(), reason };
        // Wasmtime wants an absolute path.
        let absolute = std::path::absolute(folder).map_err(|error| refused(error.to_string()))?;
        let mut config = CacheConfig::new();
        config.with_directory(absolute);
        let cache = Cache::new(config).map_err(|error| refused(format!("{error:#}")))?;
        Self::make(Some(cache))
    }

    fn make(cache: Option<Cache>) -> Result<Self, ModuleError> {
        let mut config = Config::new();
        config.consume_fuel(true);
        config.cache(cache.clone());
        let engine = wasmtime::Engine::new(&config)
            .map_err(|error| ModuleError::Engine { reason: format!("{error:#}") })?;
        Ok(Self { engine, cache })
    }

    /// How many modules came out of the cache, and how many had to be compiled; `None` without one.
    #[must_use]
    pub fn cache_counts(&self) -> Option<(usize, usize)> {
        self.cache.as_ref().map(|cache| (cache.cache_hits(), cache.cache_misses()))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// A filter, compiled and linked. Compiling takes seconds for a large filter, so compile once and
/// start many VMs, and let the engine [keep](Engine::cached) it for the next process; clones are cheap.
#[derive(Clone)]
pub struct Module {
    linked: InstancePre<HostState>,
}

impl Module {
    /// Compiles a filter from WebAssembly, binary or text.
    ///
    /// # Errors
    /// Where it is not WebAssembly, does not speak ABI 0.2.1, lacks an export that the ABI asks for,
    /// or imports what the ABI does not have.
    pub fn compile(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self, ModuleError> {
        let module = wasmtime::Module::new(&engine.engine, bytes)
            .map_err(|error| ModuleError::Invalid { reason: format!("{error:#}") })?;
        check_exports(&module)?;
        let mut linker = Linker::new(&engine.engine);
        let linked = imports::link(&mut linker)
            .and_then(|()| linker.instantiate_pre(&module))
            .map_err(|error| ModuleError::Import { reason: format!("{error:#}") })?;
        Ok(Self { linked })
    }

    pub(crate) fn linked(&self) -> &InstancePre<HostState> {
        &self.linked
    }

    pub(crate) fn engine(&self) -> &wasmtime::Engine {
        self.linked.module().engine()
    }
}

fn check_exports(module: &wasmtime::Module) -> Result<(), ModuleError> {
    let has = |name: &str| module.get_export(name).is_some();
    if !has(ABI_VERSION) {
        let mut names = module.exports().map(|export| export.name().to_owned());
        return Err(ModuleError::AbiVersion {
            found: names.find(|name| name.starts_with(ABI_PREFIX)),
        });
    }
    if !has("memory") {
        return Err(ModuleError::MissingExport { name: "memory" });
    }
    if !has("malloc") && !has("proxy_on_memory_allocate") {
        return Err(ModuleError::MissingExport { name: "malloc` or `proxy_on_memory_allocate" });
    }
    Ok(())
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.linked.module().name()).finish_non_exhaustive()
    }
}
