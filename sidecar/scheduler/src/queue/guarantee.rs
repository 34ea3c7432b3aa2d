//! Which tenants are within their part of the processors.
//!
//! Fair queueing says who is next when a processor is free. It cannot take a processor away, so a
//! request that comes while all are busy waits for the rest of an execution, whoever caused it.
//! Where executions run in two lanes, one of which the operating system prefers, the ones that are
//! beyond their tenant's part go to the other, and give way at once. Each tenant has a bucket of
//! execution time for that, refilled at the rate of its part.

use std::{collections::BTreeSet, time::Duration};

use super::{Flow, Time};

/// What a tenant that was quiet may use at once.
const BURST: i128 = 50_000_000;
/// How far a tenant that uses what others leave may fall behind, so that it is soon within its part
/// again where it is not given it.
const DEBT: i128 = 1_000_000_000;
/// For how long a tenant has a part after its last request.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How exact that is kept.
const GRAIN: Duration = Duration::from_secs(1);

/// A tenant's execution time, in nanoseconds, at the time when it was last looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credit {
    nanos: i128,
    at: Time,
    /// Since when it is remembered, where it is.
    seen: Option<Time>,
}

impl Credit {
    pub(super) const fn new(now: Time) -> Self {
        Self { nanos: BURST, at: now, seen: None }
    }

    pub(super) fn take(&mut self, cost: Duration) {
        self.nanos = (self.nanos - nanos(cost)).max(-DEBT);
    }

    pub(super) fn give_back(&mut self, cost: Duration) {
        self.nanos = (self.nanos + nanos(cost)).min(BURST);
    }
}

/// Who has a part.
#[derive(Debug)]
pub(super) struct Guarantees {
    processors: i128,
    recent: BTreeSet<(Time, usize)>,
    weights: u128,
}

impl Guarantees {
    pub(super) fn new(processors: usize) -> Self {
        Self { processors: processors.max(1) as i128, recent: BTreeSet::new(), weights: 0 }
    }

    /// Gives `flow` a part from now on.
    pub(super) fn see(&mut self, now: Time, at: usize, flow: &mut Flow) {
        match flow.credit.seen {
            Some(seen) if now.saturating_sub(seen) < GRAIN => return,
            Some(seen) => _ = self.recent.remove(&(seen, at)),
            None => self.weights += flow.share.weight(),
        }
        flow.credit.seen = Some(now);
        self.recent.insert((now, at));
    }

    /// Takes the part of `flow` away, as before its weight changes.
    pub(super) fn forget(&mut self, at: usize, flow: &mut Flow) {
        if let Some(seen) = flow.credit.seen.take() {
            self.recent.remove(&(seen, at));
            self.weights = self.weights.saturating_sub(flow.share.weight());
        }
    }

    /// One that has not been seen for long enough and has nothing to do.
    pub(super) fn oldest(&self, now: Time) -> Option<usize> {
        let (seen, at) = self.recent.first()?;
        (now.saturating_sub(*seen) > REMEMBERED).then_some(*at)
    }

    /// Since when `flow` is within its part, or from when on it will be.
    pub(super) fn within_from(&self, now: Time, flow: &mut Flow) -> Time {
        let weight = i128::try_from(flow.share.weight()).unwrap_or(1);
        let weights = i128::try_from(self.weights).unwrap_or(i128::MAX).max(weight);
        let credit = &mut flow.credit;
        let passed = nanos(now.saturating_sub(credit.at));
        credit.nanos = (credit.nanos + passed * self.processors * weight / weights).min(BURST);
        credit.at = now.max(credit.at);
        if credit.nanos > 0 {
            return now;
        }
        let missing = (1 - credit.nanos) * weights / (self.processors * weight) + 1;
        now + Duration::from_nanos(u64::try_from(missing).unwrap_or(u64::MAX))
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}
