//! One running instance: it makes the calls, and keeps what Envoy keeps for a VM.

use std::sync::Arc;

use wasmtime::{Store, TypedFunc, WasmParams, WasmResults};

use crate::LogLevel;
use crate::context::{Context, RootContext, RootLife, StreamContext};
use crate::error::{Trap, VmError};
use crate::exports::{Callback, Exports, handles};
use crate::settings::{Properties, Settings};
use crate::state::HostState;

/// A guest and its host side.
pub(crate) struct Machine {
    pub(crate) store: Store<HostState>,
    pub(crate) exports: Exports,
    pub(crate) settings: Arc<Settings>,
    /// The root context that takes new streams.
    pub(crate) plugin: Option<u32>,
    failure: Option<Trap>,
    last_context: u32,
}

impl Machine {
    /// An instance whose module is initialised and that has no plugin yet.
    pub(crate) fn boot(settings: &Arc<Settings>, canary: bool) -> Result<Self, VmError> {
        let state = HostState::new(Arc::clone(settings), canary);
        let mut store = Store::new(settings.module.engine(), state);
        store.limiter(|state| &mut state.limits);
        refuel(&mut store, settings.fuel_per_call);
        let instance = settings
            .module
            .linked()
            .instantiate(&mut store)
            .map_err(|error| VmError::Instantiate { reason: format!("{error:#}") })?;
        let guest = handles(&mut store, &instance)?;
        store.data_mut().guest = Some(guest);
        let exports = Exports::find(&mut store, &instance)?;
        let mut machine = Self {
            store,
            exports,
            settings: Arc::clone(settings),
            plugin: None,
            failure: None,
            last_context: 0,
        };
        machine.initialize().map_err(|trap| machine.trapped(trap))?;
        Ok(machine)
    }

    fn trapped(&self, trap: Trap) -> VmError {
        VmError::Trap { trap, said: self.settings.logs.said() }
    }

    /// A reactor has `_initialize`, and maybe a `main` to be run after it; a command has `_start`.
    fn initialize(&mut self) -> Result<(), Trap> {
        if let Some(initialize) = self.exports.initialize.clone() {
            self.call(0, "_initialize", &initialize, ())?;
            if let Some(main) = self.exports.main.clone() {
                self.call(0, "__main_void", &main, ())?;
            }
        } else if let Some(start) = self.exports.start.clone() {
            self.call(0, "_start", &start, ())?;
        }
        Ok(())
    }

    /// Gives the guest one configuration in a root context of its own.
    pub(crate) fn start_plugin(&mut self, configuration: &Arc<[u8]>) -> Result<u32, VmError> {
        let id = self.next_context();
        let root = RootContext::new(Arc::clone(configuration));
        self.store.data_mut().contexts.insert(id, Context::Root(root));
        self.set_configuring(id, true);
        let create = self.exports.on_context_create.clone();
        self.maybe(id, "proxy_on_context_create", create, (id, 0))
            .map_err(|trap| self.trapped(trap))?;
        self.set_configuring(id, false);
        let size = number(self.settings.vm_configuration.len());
        let start = self.exports.on_vm_start.clone();
        let started = self
            .maybe(id, "proxy_on_vm_start", start, (id, size))
            .map_err(|trap| self.trapped(trap))?;
        if started == Some(0) {
            let said = self.settings.logs.said();
            return Err(VmError::StartRefused { said });
        }
        self.set_configuring(id, true);
        let configure = self.exports.on_configure.clone();
        let size = number(configuration.len());
        let configured = self
            .maybe(id, "proxy_on_configure", configure, (id, size))
            .map_err(|trap| self.trapped(trap))?;
        self.set_configuring(id, false);
        if configured == Some(0) {
            let said = self.settings.logs.said();
            return Err(VmError::ConfigurationRefused { said });
        }
        Ok(id)
    }

    /// Opens a stream on the current plugin; `None` where there is none. Where the guest traps, the
    /// first phase says so.
    pub(crate) fn open_stream(&mut self, properties: Properties) -> Option<u32> {
        let root = self.plugin?;
        let id = self.next_context();
        let stream = Box::new(StreamContext::new(root, properties));
        let state = self.store.data_mut();
        state.contexts.insert(id, Context::Stream(stream));
        if let Some(root) = state.root_by_id(root) {
            root.open_streams += 1;
        }
        let create = self.exports.on_context_create.clone();
        let _ = self.maybe(id, "proxy_on_context_create", create, (id, root));
        Some(id)
    }

    /// Envoy's order at the end of a stream: access log, done, delete.
    pub(crate) fn close_stream(&mut self, id: u32) {
        if let Some(stream) = self.store.data_mut().stream_by_id(id) {
            stream.logging = true;
        }
        let (log, done) = (self.exports.on_log.clone(), self.exports.on_done.clone());
        // A trap is kept in `failure`; there is nobody left to tell in this stream.
        let _ = self.maybe(id, "proxy_on_log", log, id);
        let _ = self.maybe(id, "proxy_on_done", done, id);
        let delete = self.exports.on_delete.clone();
        let _ = self.maybe(id, "proxy_on_delete", delete, id);
        let Some(Context::Stream(stream)) = self.store.data_mut().contexts.remove(&id) else {
            return;
        };
        if let Some(root) = self.store.data_mut().root_by_id(stream.root) {
            root.open_streams = root.open_streams.saturating_sub(1);
        }
        self.retire_if_unused(stream.root);
    }

    /// Makes `new` the plugin that takes streams; the old one goes when its last stream has gone.
    pub(crate) fn replace_plugin(&mut self, new: Option<u32>) {
        let old = std::mem::replace(&mut self.plugin, new);
        if let Some(old) = old {
            if let Some(root) = self.store.data_mut().root_by_id(old) {
                root.life = RootLife::Replaced;
            }
            self.retire_if_unused(old);
        }
    }

    fn retire_if_unused(&mut self, id: u32) {
        let unused = self
            .store
            .data_mut()
            .root_by_id(id)
            .is_some_and(|root| root.life == RootLife::Replaced && root.open_streams == 0);
        if unused {
            self.shut_down(id);
        }
    }

    fn shut_down(&mut self, id: u32) {
        let done = self.exports.on_done.clone();
        match self.maybe(id, "proxy_on_done", done, id) {
            Ok(Some(0)) => {
                if let Some(root) = self.store.data_mut().root_by_id(id) {
                    root.life = RootLife::AwaitingDone;
                }
            }
            _ => self.delete_root(id),
        }
    }

    fn delete_root(&mut self, id: u32) {
        let delete = self.exports.on_delete.clone();
        let _ = self.maybe(id, "proxy_on_delete", delete, id);
        self.store.data_mut().contexts.remove(&id);
    }

    /// Runs the timers of all root contexts that have one.
    pub(crate) fn tick(&mut self) -> Result<(), Trap> {
        let contexts = self.store.data().contexts.iter();
        let mut ticking: Vec<u32> = contexts
            .filter(|(_, context)| match context {
                Context::Root(root) => root.tick_period.is_some(),
                Context::Stream(_) => false,
            })
            .map(|(id, _)| *id)
            .collect();
        ticking.sort_unstable();
        for id in ticking {
            let tick = self.exports.on_tick.clone();
            self.maybe(id, "proxy_on_tick", tick, id)?;
        }
        Ok(())
    }

    /// Calls a callback where the guest has it.
    pub(crate) fn maybe<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        name: &'static str,
        callback: Callback<P, R>,
        parameters: P,
    ) -> Result<Option<R>, Trap> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let Some(callback) = callback else {
            return Ok(None);
        };
        let result = self.call(context, name, &callback, parameters)?;
        self.delete_done_roots();
        Ok(Some(result))
    }

    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        name: &'static str,
        function: &TypedFunc<P, R>,
        parameters: P,
    ) -> Result<R, Trap> {
        refuel(&mut self.store, self.settings.fuel_per_call);
        let state = self.store.data_mut();
        state.current = context;
        state.effective = None;
        function
            .call(&mut self.store, parameters)
            .map_err(|error| self.fail(Trap::new(name, &error)))
    }

    fn fail(&mut self, trap: Trap) -> Trap {
        let message = trap.to_string();
        self.store.data().log(LogLevel::Critical, message.as_bytes());
        self.failure = Some(trap.clone());
        trap
    }

    pub(crate) fn failure(&self) -> Option<&Trap> {
        self.failure.as_ref()
    }

    /// `proxy_done` is called from inside the guest, which must return before it is called again.
    fn delete_done_roots(&mut self) {
        for id in std::mem::take(&mut self.store.data_mut().done_roots) {
            self.delete_root(id);
        }
    }

    fn set_configuring(&mut self, id: u32, configuring: bool) {
        if let Some(root) = self.store.data_mut().root_by_id(id) {
            root.configuring = configuring;
        }
    }

    fn next_context(&mut self) -> u32 {
        let contexts = &self.store.data().contexts;
        let mut id = self.last_context;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if !contexts.contains_key(&id) {
                break;
            }
        }
        self.last_context = id;
        id
    }
}

fn refuel(store: &mut Store<HostState>, fuel: u64) {
    // Fails only where the engine does not count fuel, and ours does.
    let _ = store.set_fuel(fuel);
}

/// A count or a size, as the ABI passes it.
pub(crate) fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
