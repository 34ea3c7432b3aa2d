//! What the embedder chose, shared by a VM and its canaries.

use std::collections::HashMap;
use std::time::Duration;

use wasmtime::{StoreLimits, StoreLimitsBuilder};

use crate::callouts::Upstreams;
use crate::foreign::ForeignFunctions;
use crate::logs::Logs;
use crate::{Clock, Dialect, Metrics, Module, SharedData, SharedQueues};

/// Envoy's C++ host gives a VM no more memory than this.
const DEFAULT_MEMORY_BYTES: usize = 1024 * 1024 * 1024;

/// About a second or two of one core; a call that needs more is a runaway.
const DEFAULT_FUEL_PER_CALL: u64 = 2_000_000_000;

/// What a stream gets from a filter whose VM is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// A 503, or a closed connection (Envoy's `FAIL_CLOSED`, and its default).
    #[default]
    Closed,
    /// It passes as if the filter were not there (Envoy's `FAIL_OPEN`).
    Open,
    /// A new VM, with the same configuration and none of the old state, where the last one was started
    /// at least this long ago by the clock; else what [`FailurePolicy::Closed`] gives. Streams that
    /// were open when the guest trapped stay closed. This is Envoy's `FAIL_RELOAD`, whose default is
    /// a second; Envoy adds up to half of it by chance, and this host does not.
    Reload {
        /// The shortest life of a VM before it is replaced.
        after: Duration,
    },
}

/// Envoy's `PluginConfig` and `VmConfig`, and what surrounds them.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) module: Module,
    pub(crate) plugin_name: String,
    pub(crate) root_id: String,
    pub(crate) vm_id: String,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) properties: Properties,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) memory_bytes: usize,
    pub(crate) fuel_per_call: u64,
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    pub(crate) shared_data: SharedData,
    pub(crate) shared_queues: SharedQueues,
    pub(crate) upstreams: Upstreams,
    pub(crate) dialect: Dialect,
    /// Each configuration is tried in a VM of its own first.
    pub(crate) canary: bool,
    pub(crate) metrics: Metrics,
    pub(crate) foreign_functions: ForeignFunctions,
    pub(crate) logs: Logs,
}

impl Settings {
    pub(crate) fn new(module: Module) -> Self {
        Self {
            module,
            plugin_name: String::new(),
            root_id: String::new(),
            vm_id: String::new(),
            vm_configuration: Vec::new(),
            environment: Vec::new(),
            properties: Properties::new(),
            failure_policy: FailurePolicy::default(),
            memory_bytes: DEFAULT_MEMORY_BYTES,
            fuel_per_call: DEFAULT_FUEL_PER_CALL,
            seed: 0,
            clock: Clock::default(),
            shared_data: SharedData::new(),
            shared_queues: SharedQueues::new(),
            upstreams: Upstreams::default(),
            dialect: Dialect::default(),
            canary: true,
            metrics: Metrics::new(),
            foreign_functions: ForeignFunctions::default(),
            logs: Logs::default(),
        }
    }

    /// One memory and one instance are all that a filter has; growth beyond the limit fails as it
    /// does where memory is full, so that the guest's allocator decides what that means.
    pub(crate) fn store_limits(&self) -> StoreLimits {
        StoreLimitsBuilder::new()
            .memory_size(self.memory_bytes)
            .table_elements(1_000_000)
            .instances(1)
            .memories(1)
            .build()
    }
}

/// Properties by path.
pub(crate) type Properties = HashMap<Vec<u8>, Vec<u8>>;

/// The parts of a property path, as the ABI writes them.
pub(crate) fn property_path(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}
