//! What may wait.

use std::hash::Hash;

use tenancy::TenantId;

use super::{Queue, Refused, Request, Ticket, Time, Waiting};

impl<K: Clone + Eq + Hash, T> Queue<K, T> {
    /// Lets a request wait for a processor.
    ///
    /// Where as many wait as may, it takes the place of the newest request of the tenant of which
    /// most wait, which is refused for it ([`Queue::take_refused`]): one tenant's flood does not fill
    /// the queue of the others. Where what waits holds as much memory as may, whoever holds the most of
    /// it for its weight makes room likewise (`room.rs`).
    ///
    /// # Errors
    /// [`Refused`], with what came with the request.
    pub fn submit(&mut self, now: Time, request: Request<K, T>) -> Result<Ticket, (T, Refused)> {
        if let Some(refused) = self.too_late(now, &request) {
            return Err((request.payload, refused));
        }
        let at = self.flow_of(now, &request.tenant);
        if let Err(refused) = self.make_room(at, request.bytes) {
            return Err((request.payload, refused));
        }
        if let Some(flow) = self.flows.get_mut(at) {
            self.guarantees.see(now, at, flow);
        }
        let ticket = Ticket(self.name());
        let held_until = self.hold(at, ticket, now, &request);
        self.held.extend(held_until.map(|until| (until, ticket)));
        self.bytes = self.bytes.saturating_add(request.bytes);
        self.change(at, |flow| {
            flow.bytes = flow.bytes.saturating_add(request.bytes);
            let to = if held_until.is_some() { &mut flow.held } else { &mut flow.due };
            to.insert(ticket);
        });
        self.waiting.insert(ticket, Waiting { flow: at, request, arrived: now, held_until });
        Ok(ticket)
    }

    /// Why the next request of `tenant` would be refused, as far as that is its own doing.
    pub fn refuses(&self, tenant: &TenantId) -> Option<Refused> {
        let flow = self.flows.get(*self.by_tenant.get(tenant)?)?;
        let most = flow.share.waiting;
        (flow.waiting() >= most as usize).then_some(Refused::TenantFull { most })
    }

    /// Takes a request back that nobody waits for any more, where it has not begun.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        self.take(ticket).map(|waiting| waiting.request.payload)
    }

    /// The requests that were refused after they had been let in, since this was last asked.
    pub fn take_refused(&mut self) -> Vec<(T, Refused)> {
        std::mem::take(&mut self.refused)
    }

    pub(super) fn too_late(&self, now: Time, request: &Request<K, T>) -> Option<Refused> {
        let left = request.deadline?.saturating_sub(now);
        let needs = self.costs.known(&request.kind, request.rows).unwrap_or_default();
        (needs > left || left.is_zero()).then_some(Refused::TooLate { left, needs })
    }

    /// Takes a request out of all lists.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Waiting<K, T>> {
        let waiting = self.waiting.remove(&ticket)?;
        let (rows, bytes) = (waiting.request.rows, waiting.request.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(company) = self.companies.get_mut(&waiting.request.kind) {
            company.remove(waiting.flow, ticket, rows);
            if company.is_empty() {
                self.companies.remove(&waiting.request.kind);
            }
        }
        if let Some(until) = waiting.held_until {
            self.held.remove(&(until, ticket));
        }
        let (is_held, now) = (waiting.held_until.is_some(), self.now);
        self.change(waiting.flow, |flow| {
            flow.bytes = flow.bytes.saturating_sub(bytes);
            if is_held {
                flow.held.remove(&ticket);
                // It was not listed, so its tenant may have been left behind.
                flow.tag = flow.tag.max(now);
            } else {
                flow.due.remove(&ticket);
            }
        });
        Some(waiting)
    }
}
