//! The token bucket of a tenant, shared by every worker of the proxy.
//!
//! It is kept as a generic cell rate algorithm (see [`Limit`]): one number, the *theoretical
//! arrival time*, which is when the bucket will be full again. That is all of the state, so one
//! compare-and-swap of eight bytes takes a token, and no worker can miss another's. The value
//! outlives a pushed table: a push does not refill anybody's bucket.
//!
//! To ask for that number and to change it is a good part of what a request costs, so where there
//! is plenty a worker does so for several requests at once. Once it has taken a request from the
//! bucket it may let through a 64th as many on its own as are left there, for [`FRESH_NS`]. The next
//! request settles: it takes those from the bucket together with itself. What the bucket does not
//! hold is owed, by the worker that let it through, and paid before that worker lets through
//! another.
//!
//! The bound, which the tests hold: in any span of time the workers let through at most what the
//! limit allows (the burst, and what the bucket regains in that time), and `burst / 64` requests,
//! rounded down, for each worker but one. So it is exact for one worker, and exact over all workers
//! for a burst under 64. A VM that is made anew after a trap owes nothing, which is as many once
//! more. A limit that is lowered forgives what a worker owes beyond a 64th of the new burst.

mod limit;
#[cfg(test)]
mod tests;

use std::{cell::RefCell, collections::HashMap};

use tenancy::{TenantId, problem::Problem};

use crate::{CasMismatch, Host, denial::Denial};
pub(crate) use limit::Limit;

/// How long a worker may let requests through on its own, in nanoseconds.
const FRESH_NS: u64 = 100_000_000;

/// How often a token is fought for. Each loss means that another worker won one, so this many in
/// a row means far more workers than a proxy has.
const MAX_ATTEMPTS: u32 = 64;

/// The version given for a key that is absent. The host inserts an absent key whatever version is
/// given, and replaces a present one whatever it is where zero is given; a version that is never
/// handed out makes the slower of two inserters see a mismatch instead of undoing the other's.
const ABSENT: u32 = u32::MAX;

/// One worker's side of the tenants' buckets.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    /// Of the tenants of whom anything is to be remembered.
    tabs: RefCell<HashMap<TenantId, Tab>>,
}

/// What a worker has let through on its own, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tab {
    limit: Limit,
    /// When it settled last, in Unix nanoseconds.
    settled_at: u64,
    /// How many requests it may let through.
    left: u32,
    /// How many it let through that were not taken from the bucket yet.
    owed: u32,
}

impl Buckets {
    /// Takes one request from the bucket of `tenant` at `now` (Unix nanoseconds).
    pub(crate) fn take(
        &self,
        host: &impl Host,
        tenant: &TenantId,
        limit: Limit,
        now: u64,
    ) -> Result<(), Denial> {
        let mut tabs = self.tabs.borrow_mut();
        let mut owed = 0;
        if let Some(tab) = tabs.get_mut(tenant) {
            if tab.passes(limit, now) {
                return Ok(());
            }
            owed = tab.owed;
        }
        let (taken, tab) = settle(host, tenant, Tab { limit, settled_at: now, left: 0, owed });
        if tab.left == 0 && tab.owed == 0 {
            tabs.remove(tenant);
        } else if let Some(kept) = tabs.get_mut(tenant) {
            *kept = tab;
        } else {
            tabs.insert(tenant.clone(), tab);
        }
        taken
    }

    /// Forgets the tenants that there are no more.
    pub(crate) fn keep(&self, is_there: impl Fn(&TenantId) -> bool) {
        self.tabs.borrow_mut().retain(|tenant, _| is_there(tenant));
    }
}

impl Tab {
    /// Lets a request through, where it may.
    fn passes(&mut self, limit: Limit, now: u64) -> bool {
        // Also where the clock was set back.
        let is_fresh = now.checked_sub(self.settled_at).is_some_and(|age| age < FRESH_NS);
        if self.left == 0 || !is_fresh || self.limit != limit {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        self.owed = self.owed.saturating_add(1);
        true
    }
}

/// Takes one request and what `tab` owes from the bucket, and says what the tab comes to.
fn settle(host: &impl Host, tenant: &TenantId, mut tab: Tab) -> (Result<(), Denial>, Tab) {
    let Tab { limit, settled_at: now, owed, .. } = tab;
    let key = format!("rate/{tenant}");
    for _ in 0..MAX_ATTEMPTS {
        let (remembered, version) = read(host, &key);
        let settled = limit.settle(remembered, now, owed);
        let changed = settled.arrival != remembered;
        if changed && write(host, &key, settled.arrival, version).is_err() {
            continue;
        }
        tab.owed = settled.unpaid;
        return match settled.wait_ns {
            None => {
                tab.left = limit.left_on_its_own(settled.arrival, now);
                (Ok(()), tab)
            }
            Some(wait) => (Err(limit.denial(wait)), tab),
        };
    }
    (Err(Denial::from(Problem::Overloaded).with("retry-after", "1".to_owned())), tab)
}

fn read(host: &impl Host, key: &str) -> (u64, u32) {
    match host.shared_data(key) {
        None => (0, ABSENT),
        // A value that is none counts as an empty bucket: it denies once, and is mended.
        Some((value, version)) => {
            (<[u8; 8]>::try_from(value).map_or(u64::MAX, u64::from_le_bytes), version)
        }
    }
}

fn write(host: &impl Host, key: &str, arrival: u64, version: u32) -> Result<(), CasMismatch> {
    host.set_shared_data(key, &arrival.to_le_bytes(), version)
}
