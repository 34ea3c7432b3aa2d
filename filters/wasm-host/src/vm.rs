//! A VM, as one worker of a proxy has it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::context::Context;
use crate::error::{Trap, VmError};
use crate::logs::LogRecord;
use crate::machine::Machine;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::{Headers, Metrics, SharedData};

/// A filter that runs. Any number of streams can be open at a time; the guest runs one call at a time.
///
/// Once the guest has trapped, nothing of it runs any more: every stream gets what the failure policy
/// says, and [`Vm::failure`] says why. Start another VM to go on.
pub struct Vm {
    machine: Arc<Mutex<Machine>>,
    settings: Arc<Settings>,
}

impl Vm {
    pub(crate) fn start(
        settings: Arc<Settings>,
        configuration: Arc<[u8]>,
    ) -> Result<Self, VmError> {
        try_in_canary(&settings, &configuration)?;
        let mut machine = Machine::boot(&settings, false)?;
        let plugin = machine.start_plugin(&configuration)?;
        machine.replace_plugin(Some(plugin));
        Ok(Self { machine: Arc::new(Mutex::new(machine)), settings })
    }

    /// Gives the filter a new plugin configuration, as Envoy does:
    ///
    /// 1. A configuration that is the current one, byte for byte, changes nothing.
    /// 2. It is tried in a canary VM. Where that refuses it or traps, the running VM is not touched
    ///    and the old configuration stays: the answer is `false`, and the log says why.
    /// 3. It gets a root context of its own in the running VM, so that the guest's statics (caches,
    ///    counters) survive. New streams go there. The old root context lives until its last stream
    ///    has finished, and is then told `proxy_on_done` and `proxy_on_delete`.
    /// 4. Where the running VM refuses what its canary took, the answer is `false` too, and there is
    ///    no plugin any more: streams get what the failure policy says.
    ///
    /// # Errors
    /// The trap of the running VM, now or before.
    pub fn configure(&self, configuration: impl Into<Vec<u8>>) -> Result<bool, Trap> {
        let configuration: Arc<[u8]> = Arc::from(configuration.into());
        let mut machine = self.lock();
        if let Some(failure) = machine.failure() {
            return Err(failure.clone());
        }
        if is_current(&mut machine, &configuration) {
            return Ok(true);
        }
        if try_in_canary(&self.settings, &configuration).is_err() {
            return Ok(false);
        }
        match machine.start_plugin(&configuration) {
            Ok(plugin) => {
                machine.replace_plugin(Some(plugin));
                Ok(true)
            }
            Err(VmError::Trap { trap, .. }) => Err(trap),
            Err(_) => {
                machine.replace_plugin(None);
                Ok(false)
            }
        }
    }

    /// Opens a stream for a request with these headers. The filter first sees it when
    /// [`Stream::request_headers`] is called.
    #[must_use]
    pub fn request(&self, headers: impl Into<Headers>) -> Stream {
        Stream::new(Arc::clone(&self.machine), headers.into())
    }

    /// Runs `proxy_on_tick` in every root context that has asked for ticks.
    ///
    /// # Errors
    /// The guest's trap, now or before.
    pub fn tick(&self) -> Result<(), Trap> {
        self.lock().tick()
    }

    /// How often the current root context asked to be ticked, if it did.
    #[must_use]
    pub fn tick_period(&self) -> Option<Duration> {
        let mut machine = self.lock();
        let plugin = machine.plugin?;
        machine.store.data_mut().root_by_id(plugin)?.tick_period
    }

    /// What the guest has said, oldest first; canaries too.
    #[must_use]
    pub fn logs(&self) -> Vec<LogRecord> {
        self.settings.logs.all()
    }

    /// The value of a counter or gauge, or the number of a histogram's samples.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.settings.metrics.value(name)
    }

    /// The metrics that this VM adds to.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.settings.metrics.clone()
    }

    /// The data that this VM shares.
    #[must_use]
    pub fn shared_data(&self) -> SharedData {
        self.settings.shared_data.clone()
    }

    /// Why the guest runs no more, where that is so.
    #[must_use]
    pub fn failure(&self) -> Option<Trap> {
        self.lock().failure().cloned()
    }

    /// How many bytes of memory the guest has. It does not shrink.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let machine = self.lock();
        let memory = machine.store.data().guest.as_ref().map(|guest| guest.memory);
        memory.map_or(0, |memory| memory.data_size(&machine.store))
    }

    /// How many contexts the guest has, roots and streams: for tests that nothing leaks.
    #[must_use]
    pub fn contexts(&self) -> usize {
        self.lock().store.data().contexts.len()
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        lock(&self.machine)
    }
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm")
            .field("vm_id", &self.settings.vm_id)
            .field("module", &self.settings.module)
            .finish_non_exhaustive()
    }
}

/// A panic of an embedder's foreign function does not spoil the state that the lock guards.
pub(crate) fn lock(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_in_canary(settings: &Arc<Settings>, configuration: &Arc<[u8]>) -> Result<(), VmError> {
    Machine::boot(settings, true)?.start_plugin(configuration)?;
    Ok(())
}

fn is_current(machine: &mut Machine, configuration: &Arc<[u8]>) -> bool {
    let Some(plugin) = machine.plugin else {
        return false;
    };
    match machine.store.data().contexts.get(&plugin) {
        Some(Context::Root(root)) => root.configuration == *configuration,
        _ => false,
    }
}
