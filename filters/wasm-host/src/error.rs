//! What can go wrong between an embedder and a guest.

use std::path::PathBuf;

use thiserror::Error;

/// A module that cannot be run as a proxy-wasm filter.
#[derive(Debug, Error)]
pub enum ModuleError {
    /// The machine that this runs on cannot host the wasm engine.
    #[error("the wasm engine could not be set up: {reason}")]
    Engine {
        /// The engine's words.
        reason: String,
    },
    /// The folder for compiled modules cannot be used.
    #[error(
        "the cache of compiled modules cannot use {}: {reason}; give a folder that can be written", folder.display()
    )]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Not WebAssembly, or not valid.
    #[error("expected a WebAssembly module, but it could not be compiled: {reason}")]
    Invalid {
        /// The compiler's words.
        reason: String,
    },
    /// The module does not say that it speaks ABI 0.2.1.
    #[error(
        "expected the export `proxy_abi_version_0_2_1`, found {}; build the filter with the SDK crate proxy-wasm 0.2",
        found.as_deref().unwrap_or("no ABI version at all")
    )]
    AbiVersion {
        /// The version export that is there instead.
        found: Option<String>,
    },
    /// An export that the host cannot do without is missing.
    #[error("expected the export `{name}`, found none; is this a cdylib for wasm32-wasip1?")]
    MissingExport {
        /// Which, with its alternatives.
        name: &'static str,
    },
    /// The module imports what no proxy-wasm host offers, or with other parameters.
    #[error("the module's imports cannot be satisfied: {reason}")]
    Import {
        /// The linker's words, which name the import.
        reason: String,
    },
}

/// A VM that could not be started.
#[derive(Debug, Error)]
pub enum VmError {
    /// The module could not be instantiated: its initial memory is over the limit, or its start
    /// section trapped.
    #[error("the module could not be instantiated: {reason}")]
    Instantiate {
        /// The engine's words.
        reason: String,
    },
    /// An export is there with other parameters than the ABI gives it.
    #[error("the export `{name}` does not have the ABI's signature: {reason}")]
    Signature {
        /// The export.
        name: &'static str,
        /// What differs.
        reason: String,
    },
    /// `proxy_on_vm_start` answered false.
    #[error("the guest refused to start: proxy_on_vm_start answered false; it said: {said}")]
    StartRefused {
        /// What it has logged.
        said: String,
    },
    /// `proxy_on_configure` answered false.
    #[error(
        "the guest refused its configuration: proxy_on_configure answered false; it said: {said}"
    )]
    ConfigurationRefused {
        /// What it has logged.
        said: String,
    },
    /// The guest trapped.
    #[error("{trap}; it said: {said}")]
    Trap {
        /// Where and why.
        trap: Trap,
        /// What it has logged.
        said: String,
    },
}

/// A guest that stopped in the middle of a call. Its VM runs nothing any more.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the guest failed in {callback}: {reason}")]
pub struct Trap {
    /// The export that was being called.
    pub callback: &'static str,
    /// Why it stopped.
    pub reason: TrapReason,
}

/// Why a guest stopped.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TrapReason {
    /// It used up the fuel of one call.
    #[error("it ran out of fuel; a loop without end, or a limit that is too low")]
    OutOfFuel,
    /// It touched memory that it does not have.
    #[error("it reached outside its memory")]
    MemoryOutOfBounds,
    /// It called itself too deep; an allocator that calls the host may be behind it.
    #[error("it ran out of stack; a recursion without end")]
    StackOverflow,
    /// It gave up: a panic in Rust ends so.
    #[error("it reached an unreachable instruction; a panic, whose message is in the log")]
    Unreachable,
    /// It asked to end the process.
    #[error("it called proc_exit({0})")]
    Exit(u32),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// `proc_exit`, on its way out of the guest.
#[derive(Debug, Error)]
#[error("proc_exit({0})")]
pub(crate) struct Exit(pub(crate) u32);

impl Trap {
    pub(crate) fn new(callback: &'static str, error: &wasmtime::Error) -> Self {
        Self { callback, reason: TrapReason::of(error) }
    }
}

impl TrapReason {
    fn of(error: &wasmtime::Error) -> Self {
        if let Some(Exit(code)) = error.downcast_ref::<Exit>() {
            return Self::Exit(*code);
        }
        match error.downcast_ref::<wasmtime::Trap>() {
            Some(wasmtime::Trap::OutOfFuel) => Self::OutOfFuel,
            Some(wasmtime::Trap::MemoryOutOfBounds) => Self::MemoryOutOfBounds,
            Some(wasmtime::Trap::StackOverflow) => Self::StackOverflow,
            Some(wasmtime::Trap::UnreachableCodeReached) => Self::Unreachable,
            Some(trap) => Self::Other(trap.to_string()),
            None => Self::Other(format!("{error:#}")),
        }
    }
}
