//! The choices that a VM is started with.

use std::sync::Arc;

use crate::error::VmError;
use crate::settings::{FailurePolicy, Settings, property_path};
use crate::vm::Vm;
use crate::{
    Clock, Dialect, LogLevel, Metrics, Module, PropertyValue, SharedData, SharedQueues, Status,
};

/// Where VMs come from; see [`Host::builder`].
#[derive(Debug)]
pub struct Host {
    settings: Settings,
    configuration: Arc<[u8]>,
}

impl Host {
    /// A host for this module. What is not set is as in Envoy where it is not configured: empty ids
    /// and configurations, no environment, 1 GiB of memory; 2 * 10^9 units of fuel for each call;
    /// a clock, shared data and metrics of its own.
    #[must_use]
    pub fn builder(module: &Module) -> Self {
        Self { settings: Settings::new(module.clone()), configuration: Arc::from([]) }
    }

    /// The plugin configuration (`PluginConfig.configuration`).
    #[must_use]
    pub fn configuration(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.configuration = Arc::from(bytes.into());
        self
    }

    /// The plugin's name (`PluginConfig.name`), which guests read as property `plugin_name`.
    #[must_use]
    pub fn plugin_name(mut self, name: impl Into<String>) -> Self {
        self.settings.plugin_name = name.into();
        self
    }

    /// The root id (`PluginConfig.root_id`), which guests read as property `plugin_root_id`.
    #[must_use]
    pub fn root_id(mut self, root_id: impl Into<String>) -> Self {
        self.settings.root_id = root_id.into();
        self
    }

    /// The vm id (`VmConfig.vm_id`): VMs of one id share one part of [`SharedData`].
    #[must_use]
    pub fn vm_id(mut self, vm_id: impl Into<String>) -> Self {
        self.settings.vm_id = vm_id.into();
        self
    }

    /// The VM's configuration (`VmConfig.configuration`).
    #[must_use]
    pub fn vm_configuration(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.settings.vm_configuration = bytes.into();
        self
    }

    /// One environment variable (`VmConfig.environment_variables`).
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.environment.push((name.into(), value.into()));
        self
    }

    /// The clock that the guest reads.
    #[must_use]
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.settings.clock = clock.clone();
        self
    }

    /// The data that it shares with other VMs.
    #[must_use]
    pub fn shared_data(mut self, shared_data: &SharedData) -> Self {
        self.settings.shared_data = shared_data.clone();
        self
    }

    /// The queues that it shares with other VMs.
    #[must_use]
    pub fn shared_queues(mut self, shared_queues: &SharedQueues) -> Self {
        self.settings.shared_queues = shared_queues.clone();
        self
    }

    /// The name of an upstream that the guest can call. Where none is named, it can call all; where
    /// one is, a call of another is answered as the ABI says: [`Status::BadArgument`] for HTTP,
    /// [`Status::ParseFailure`] for gRPC.
    #[must_use]
    pub fn upstream(mut self, name: impl Into<String>) -> Self {
        self.settings.upstreams.know(name.into());
        self
    }

    /// The name of an upstream that the host knows and cannot send to: calls of it are answered with
    /// [`Status::InternalFailure`].
    #[must_use]
    pub fn broken_upstream(mut self, name: impl Into<String>) -> Self {
        self.settings.upstreams.fail(name.into());
        self
    }

    /// Whose behaviour the guest meets where the specification and Envoy differ.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.settings.dialect = dialect;
        self
    }

    /// Whether each configuration is tried in a canary VM first, as Envoy does and this host does
    /// without being told. `false` starts a VM in half the time; a configuration that the guest
    /// refuses is then refused by the VM that runs.
    #[must_use]
    pub fn canary(mut self, canary: bool) -> Self {
        self.settings.canary = canary;
        self
    }

    /// The metrics that it adds to.
    #[must_use]
    pub fn metrics(mut self, metrics: &Metrics) -> Self {
        self.settings.metrics = metrics.clone();
        self
    }

    /// A function that the guest can call by name; it gets the guest's bytes and answers bytes or a
    /// status. What the bytes mean is between the two: Envoy's own functions take protobuf messages.
    ///
    /// ```
    /// # use wasm_host::{Host, Module, Status};
    /// # fn verify(message: &[u8]) -> Option<Vec<u8>> { Some(message.to_vec()) }
    /// # fn with_verify(module: &Module) -> Host {
    /// Host::builder(module).foreign_function("verify_signature", |message| {
    ///     // Envoy's takes `VerifySignatureArguments` and gives `VerifySignatureResult`.
    ///     verify(message).ok_or(Status::BadArgument)
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn foreign_function(
        mut self,
        name: &str,
        function: impl Fn(&[u8]) -> Result<Vec<u8>, Status> + Send + Sync + 'static,
    ) -> Self {
        self.settings.foreign_functions.insert(name, function);
        self
    }

    /// A property that every context finds, such as `["node", "id"]`.
    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl Into<PropertyValue>) -> Self {
        self.settings.properties.insert(property_path(path), value.into().into_bytes());
        self
    }

    /// What streams get once the guest has failed.
    #[must_use]
    pub fn failure_policy(mut self, policy: FailurePolicy) -> Self {
        self.settings.failure_policy = policy;
        self
    }

    /// The most memory that the guest can have, in bytes.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.settings.memory_bytes = bytes;
        self
    }

    /// The fuel of each call: about one unit an instruction, and one a byte that crosses to the host.
    #[must_use]
    pub fn fuel(mut self, units_per_call: u64) -> Self {
        self.settings.fuel_per_call = units_per_call;
        self
    }

    /// The seed of the guest's random bytes. Give VMs that run side by side different ones, as the
    /// workers of a proxy have.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// The lowest level that is kept, and that the guest is told is kept. Without it, all are.
    #[must_use]
    pub fn log_level(self, level: LogLevel) -> Self {
        self.settings.logs.set_level(level);
        self
    }

    /// Starts a VM as Envoy does: the configuration is first tried in a canary VM, which is thrown
    /// away, then given to the VM that runs.
    ///
    /// # Errors
    /// Where the module cannot be instantiated, or the guest traps or answers false.
    pub fn start(self) -> Result<Vm, VmError> {
        Vm::start(Arc::new(self.settings), self.configuration)
    }
}
