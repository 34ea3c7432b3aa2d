//! One running instance: it makes the calls, and keeps what Envoy keeps for a VM.
//!
//! A guest may ask for things that would call it again while it runs: continue a stream, answer it,
//! be told of a queue. They wait in [`HostState::after_call`] until it has returned, and
//! [`Machine::settle`] does them.

mod deliveries;
mod ends;
mod http;
mod local_response;
mod plugins;
mod tcp;
mod timers;

use std::sync::Arc;

use wasmtime::{Store, TypedFunc, WasmParams, WasmResults};

use crate::LogLevel;
use crate::error::{Trap, VmError};
use crate::exports::{Callback, Exports, handles};
use crate::settings::Settings;
use crate::state::{AfterCall, HostState};

/// As much deferred work as is done after one call; guests that make more of it than they do of
/// anything else find the rest done later.
const MAX_SETTLED: usize = 1024;

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
                self.call(0, "main", &main, (0, 0))?;
            } else if let Some(main) = self.exports.main_void.clone() {
                self.call(0, "__main_void", &main, ())?;
            }
        } else if let Some(start) = self.exports.start.clone() {
            self.call(0, "_start", &start, ())?;
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
        self.call(context, name, &callback, parameters).map(Some)
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

    /// Does what the guest has asked for in the calls since the last time, and what that leads to.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MAX_SETTLED {
            if self.failure.is_some() {
                self.store.data_mut().after_call.clear();
                return;
            }
            match self.store.data_mut().after_call.pop_front() {
                Some(AfterCall::Resume(id, half)) => self.go_on(id, half),
                Some(AfterCall::Reply(id)) => self.reply(id),
                Some(AfterCall::Flow(id, side)) => self.flow_on(id, side),
                Some(AfterCall::Close(id)) => self.close_for_filter(id),
                Some(AfterCall::Finish(id)) => self.finish(id),
                None if self.tell_of_queue() => {}
                None => return,
            }
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
