//! Who is known, and what each is given.

use std::hash::Hash;

use tenancy::TenantId;

use super::{Flow, Queue, Share, Time};

impl<K: Clone + Eq + Hash, T> Queue<K, T> {
    /// Gives `tenant` another share, from now on. What of it waits and runs stays.
    pub fn set_share(&mut self, now: Time, tenant: &TenantId, share: Share) {
        let at = self.flow_of(now, tenant);
        if self.flows.get(at).is_some_and(|flow| flow.share == share) {
            return;
        }
        if let Some(flow) = self.flows.get_mut(at) {
            // Its weight is in the sum of those that are seen; the next request puts it back.
            self.guarantees.forget(at, flow);
        }
        let Some(flow) = self.flows.get_mut(at) else { return };
        let listed = flow.listed.take();
        if let Some(tag) = listed {
            self.lagging.remove(&(tag, at));
            self.ready.remove(&(tag.ordered(flow.share), at));
        }
        flow.share = share;
        self.change(at, |_| {});
    }

    /// Forgets tenants that `is_known` denies, once nothing of them waits or runs.
    pub fn retain_tenants(&mut self, is_known: impl Fn(&TenantId) -> bool) {
        for (at, flow) in self.flows.iter_mut().enumerate() {
            if flow.is_idle()
                && !is_known(&flow.tenant)
                && self.by_tenant.remove(&flow.tenant).is_some()
            {
                self.guarantees.forget(at, flow);
                self.vacant.push(at);
            }
        }
    }

    /// The tenant's place, which it is given where it has none.
    pub(super) fn flow_of(&mut self, now: Time, tenant: &TenantId) -> usize {
        if let Some(at) = self.by_tenant.get(tenant) {
            return *at;
        }
        let flow = Flow::new(tenant.clone(), Share::default(), now);
        let at = match self.vacant.pop() {
            Some(at) => at,
            None => self.flows.len(),
        };
        match self.flows.get_mut(at) {
            Some(place) => *place = flow,
            None => self.flows.push(flow),
        }
        self.by_tenant.insert(tenant.clone(), at);
        at
    }

    pub(super) fn forget_quiet_tenants(&mut self, now: Time) {
        while let Some(at) = self.guarantees.oldest(now) {
            let Some(flow) = self.flows.get_mut(at) else { break };
            self.guarantees.forget(at, flow);
            if !flow.is_idle() {
                self.guarantees.see(now, at, flow);
            }
        }
    }
}
