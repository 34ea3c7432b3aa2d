//! What happens when time has passed: ticks, timeouts of calls; and what other VMs have left for this.

use std::time::Duration;

use super::Machine;
use crate::callouts::outstanding::CallKind;
use crate::callouts::{GRPC_UNAVAILABLE, HttpResponse, TIMEOUT_MESSAGE};
use crate::contexts::Context;
use crate::error::Trap;

impl Machine {
    /// Runs the timers of all root contexts that have one, due or not.
    pub(crate) fn tick(&mut self) -> Result<(), Trap> {
        for id in self.timers(None) {
            self.tick_one(id)?;
        }
        self.settle();
        Ok(())
    }

    /// Does what is due: each timer that has run out ticks once, each call that took too long times
    /// out, and the guest is told of queues. How much was done.
    pub(crate) fn run_due(&mut self) -> Result<usize, Trap> {
        if let Some(failure) = self.failure() {
            return Err(failure.clone());
        }
        let mut done = self.store.data().queues.ready();
        self.settle();
        let now = self.settings.clock.monotonic();
        for call in self.store.data().callouts.overdue(now) {
            self.time_out(call)?;
            done += 1;
        }
        for id in self.timers(Some(now)) {
            self.tick_one(id)?;
            done += 1;
        }
        self.settle();
        self.failure().map_or(Ok(done), |failure| Err(failure.clone()))
    }

    /// The next moment at which something is due, on the monotonic clock.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let state = self.store.data();
        let ticks = state.contexts.values().filter_map(|context| match context {
            Context::Root(root) => root.timer.map(|timer| timer.due),
            Context::Http(_) | Context::Tcp(_) => None,
        });
        ticks.chain(state.callouts.next_deadline()).min()
    }

    /// Tells the guest of one queue that has something; whether there was one.
    pub(super) fn tell_of_queue(&mut self) -> bool {
        let Some((root, queue)) = self.store.data().queues.next_ready() else {
            return false;
        };
        if self.store.data_mut().root_by_id(root).is_some() {
            let callback = self.exports.on_queue_ready.clone();
            let _ = self.maybe(root, "proxy_on_queue_ready", callback, (root, queue));
        }
        true
    }

    /// Roots with a timer, all or those that have run out, the oldest root first.
    fn timers(&self, now: Option<Duration>) -> Vec<u32> {
        let contexts = self.store.data().contexts.iter();
        let mut roots: Vec<u32> = contexts
            .filter(|(_, context)| match context {
                Context::Root(root) => {
                    root.timer.is_some_and(|timer| now.is_none_or(|now| timer.due <= now))
                }
                Context::Http(_) | Context::Tcp(_) => false,
            })
            .map(|(id, _)| *id)
            .collect();
        roots.sort_unstable();
        roots
    }

    /// The next tick is a whole period after this one, however late this one is: so are Envoy's.
    fn tick_one(&mut self, id: u32) -> Result<(), Trap> {
        let now = self.settings.clock.monotonic();
        if let Some(root) = self.store.data_mut().root_by_id(id)
            && let Some(timer) = &mut root.timer
        {
            timer.due = now.saturating_add(timer.period);
        }
        let tick = self.exports.on_tick.clone();
        self.maybe(id, "proxy_on_tick", tick, id)?;
        self.settle();
        Ok(())
    }

    fn time_out(&mut self, call: u32) -> Result<(), Trap> {
        let callouts = &mut self.store.data_mut().callouts;
        match CallKind::of(call) {
            Some(CallKind::Http) => match callouts.http.remove(call) {
                Some(it) => self.deliver_http(call, HttpResponse::timeout().delivered(it.root)),
                None => Ok(()),
            },
            Some(CallKind::Grpc) => match callouts.grpc.remove(call) {
                Some(it) => {
                    let status = (GRPC_UNAVAILABLE, TIMEOUT_MESSAGE.to_owned());
                    self.deliver_grpc_close(it.root, call, status)
                }
                None => Ok(()),
            },
            Some(CallKind::GrpcStream) | None => Ok(()),
        }
    }
}
