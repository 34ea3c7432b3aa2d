//! A VM, as one worker of a proxy has it.

mod calls;
mod telemetry;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Headers;
use crate::connection::Connection;
use crate::error::{Trap, VmError};
use crate::machine::Machine;
use crate::settings::{FailurePolicy, Settings};
use crate::stream::Stream;

/// A filter that runs. Any number of streams and connections can be open at a time; the guest runs one
/// call at a time.
///
/// Once the guest has trapped, nothing of it runs any more: every stream gets what the failure policy
/// says, and [`Vm::failure`] says why. [`FailurePolicy::Reload`], a new configuration, or
/// [`Vm::restart`] bring up another one.
pub struct Vm {
    worker: Mutex<Worker>,
    settings: Arc<Settings>,
}

/// The instance that takes new streams. Streams hold on to the one that they began in.
struct Worker {
    machine: Arc<Mutex<Machine>>,
    configuration: Arc<[u8]>,
    /// When it was started, on the monotonic clock.
    started: Duration,
    restarts: usize,
}

/// More steps than any test takes in one go; a guest that asks for more ticks is cut off here.
const MAX_STEPS: usize = 1_000_000;

impl Vm {
    pub(crate) fn start(
        settings: Arc<Settings>,
        configuration: Arc<[u8]>,
    ) -> Result<Self, VmError> {
        try_in_canary(&settings, &configuration)?;
        let machine = boot(&settings, &configuration)?;
        let started = settings.clock.monotonic();
        let worker = Mutex::new(Worker { machine, configuration, started, restarts: 0 });
        Ok(Self { worker, settings })
    }

    /// Gives the filter a new plugin configuration, as Envoy does:
    ///
    /// 1. A configuration that is the current one, byte for byte, changes nothing.
    /// 2. It is tried in a canary VM. Where that refuses it or traps, the running VM is not touched
    ///    and the old configuration stays: the answer is `false`, and the log says why.
    /// 3. It gets a root context of its own in the running VM, so that the guest's statics (caches,
    ///    counters) survive. New streams go there. The old root context lives until its last stream
    ///    has finished, and is then told `proxy_on_done` and `proxy_on_delete`. Where the running VM
    ///    has failed before, a new one is started.
    /// 4. Where the running VM refuses what its canary took, the answer is `false` too, and there is
    ///    no plugin any more: streams get what the failure policy says.
    ///
    /// # Errors
    /// The trap of the running VM on it.
    pub fn configure(&self, configuration: impl Into<Vec<u8>>) -> Result<bool, Trap> {
        let configuration: Arc<[u8]> = Arc::from(configuration.into());
        let mut worker = self.worker();
        let failed = lock(&worker.machine).failure().is_some();
        let has_plugin = lock(&worker.machine).plugin.is_some();
        if !failed && has_plugin && worker.configuration == configuration {
            return Ok(true);
        }
        if try_in_canary(&self.settings, &configuration).is_err() {
            return Ok(false);
        }
        let refused = if failed {
            self.replace(&mut worker, Arc::clone(&configuration)).err()
        } else {
            let mut machine = lock(&worker.machine);
            match machine.start_plugin(&configuration) {
                Ok(plugin) => {
                    machine.replace_plugin(Some(plugin));
                    None
                }
                Err(VmError::Trap { trap, said }) => Some(VmError::Trap { trap, said }),
                Err(refused) => {
                    machine.replace_plugin(None);
                    Some(refused)
                }
            }
        };
        match refused {
            None => {
                worker.configuration = configuration;
                Ok(true)
            }
            Some(VmError::Trap { trap, .. }) => Err(trap),
            Some(_) => Ok(false),
        }
    }

    /// Starts the guest anew with its current configuration, whatever has become of it. Its statics
    /// begin again; what it shares with others stays. Streams that are open stay with the old one.
    ///
    /// # Errors
    /// Where the guest does not start; the old one stays.
    pub fn restart(&self) -> Result<(), VmError> {
        let mut worker = self.worker();
        let configuration = Arc::clone(&worker.configuration);
        self.replace(&mut worker, configuration)
    }

    /// How often the guest was started anew after it had failed, or because it was asked to.
    #[must_use]
    pub fn restarts(&self) -> usize {
        self.worker().restarts
    }

    /// Opens a stream for a request with these headers. The filter first sees it when
    /// [`Stream::request_headers`] is called.
    #[must_use]
    pub fn request(&self, headers: impl Into<Headers>) -> Stream {
        Stream::new(self.for_new_stream(), headers.into())
    }

    /// A client's TCP connection. The filter first sees it when [`Connection::open`] is called.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::new(self.for_new_stream())
    }

    /// Runs `proxy_on_tick` in every root context that has asked for ticks, whatever the clock says.
    ///
    /// # Errors
    /// The guest's trap, now or before.
    pub fn tick(&self) -> Result<(), Trap> {
        lock(&self.machine()).tick()
    }

    /// Does what is due by the clock, and answers how much that was: a timer that has run out ticks
    /// once, however often it would have (so do Envoy's); a call that took too long times out; and
    /// the guest is told of queues that others have put something in.
    ///
    /// # Errors
    /// The guest's trap, now or before.
    pub fn run_due(&self) -> Result<usize, Trap> {
        lock(&self.machine()).run_due()
    }

    /// Lets time pass on this VM's clock, stopping wherever something is due and doing it: over a
    /// minute, a timer of one second ticks sixty times, each at its own second.
    ///
    /// Other VMs of the same clock see the time pass; what is due there is done by their own
    /// [`Vm::run_due`]. More than a million moments at which something is due are not stopped at.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wasm_host::Vm;
    /// # fn wait(vm: &Vm) -> Result<(), wasm_host::Trap> {
    /// assert_eq!(vm.tick_period(), Some(Duration::from_secs(5)));
    /// vm.advance(Duration::from_secs(60))?; // twelve ticks
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The guest's trap, now or before; the clock then stands where it happened.
    pub fn advance(&self, by: Duration) -> Result<(), Trap> {
        let clock = &self.settings.clock;
        let until = clock.monotonic().saturating_add(by);
        for _ in 0..MAX_STEPS {
            let next = lock(&self.machine()).next_due().filter(|due| *due <= until);
            let Some(due) = next else {
                break;
            };
            clock.advance(due.saturating_sub(clock.monotonic()));
            self.run_due()?;
        }
        clock.advance(until.saturating_sub(clock.monotonic()));
        self.run_due().map(|_| ())
    }

    /// How often the current root context asked to be ticked, if it did.
    #[must_use]
    pub fn tick_period(&self) -> Option<Duration> {
        let machine = self.machine();
        let mut machine = lock(&machine);
        let plugin = machine.plugin?;
        machine.store.data_mut().root_by_id(plugin)?.timer.map(|timer| timer.period)
    }

    /// Ends the plugin, as a proxy does that goes or drops the filter: `proxy_on_done` and
    /// `proxy_on_delete` of every root context. Whether all were done at once; one that answered
    /// false goes when the guest calls `proxy_done`. New streams get what the failure policy says.
    #[must_use]
    pub fn shut_down(&self) -> bool {
        lock(&self.machine()).shut_down()
    }

    /// Envoy looks whether a failed VM can be replaced when a stream begins.
    fn for_new_stream(&self) -> Arc<Mutex<Machine>> {
        let mut worker = self.worker();
        if let FailurePolicy::Reload { after } = self.settings.failure_policy {
            let failed = lock(&worker.machine).failure().is_some();
            let lived = self.settings.clock.monotonic().saturating_sub(worker.started);
            if failed && lived >= after {
                let configuration = Arc::clone(&worker.configuration);
                // A guest that does not start is tried again when it has been down for as long.
                worker.started = self.settings.clock.monotonic();
                let _ = self.replace(&mut worker, configuration);
            }
        }
        Arc::clone(&worker.machine)
    }

    fn replace(&self, worker: &mut Worker, configuration: Arc<[u8]>) -> Result<(), VmError> {
        worker.machine = boot(&self.settings, &configuration)?;
        worker.configuration = configuration;
        worker.started = self.settings.clock.monotonic();
        worker.restarts += 1;
        Ok(())
    }

    fn machine(&self) -> Arc<Mutex<Machine>> {
        Arc::clone(&self.worker().machine)
    }

    fn worker(&self) -> MutexGuard<'_, Worker> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
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

fn boot(
    settings: &Arc<Settings>,
    configuration: &Arc<[u8]>,
) -> Result<Arc<Mutex<Machine>>, VmError> {
    let mut machine = Machine::boot(settings, false)?;
    let plugin = machine.start_plugin(configuration)?;
    machine.replace_plugin(Some(plugin));
    Ok(Arc::new(Mutex::new(machine)))
}

fn try_in_canary(settings: &Arc<Settings>, configuration: &Arc<[u8]>) -> Result<(), VmError> {
    if settings.canary {
        Machine::boot(settings, true)?.start_plugin(configuration)?;
    }
    Ok(())
}
