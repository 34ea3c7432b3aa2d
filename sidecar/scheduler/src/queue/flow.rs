//! One tenant's requests, and where it is in virtual time.

use std::{collections::BTreeSet, ops::Bound};

use tenancy::TenantId;

use super::{Share, Ticket, Time, guarantee::Credit, tag::Tag};

/// A tenant in the queue.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) tenant: TenantId,
    pub(super) share: Share,
    /// The start tag of its next request.
    pub(super) tag: Tag,
    /// The tag under which it is listed as ready, where it is.
    pub(super) listed: Option<Tag>,
    /// Requests that may run, in the order in which they came.
    pub(super) due: BTreeSet<Ticket>,
    /// Those that wait for company, in the same order.
    pub(super) held: BTreeSet<Ticket>,
    /// The memory that both hold.
    pub(super) bytes: u64,
    /// How many of its executions run.
    pub(super) running: u32,
    pub(super) credit: Credit,
}

impl Flow {
    pub(super) fn new(tenant: TenantId, share: Share, now: Time) -> Self {
        Self {
            tenant,
            share,
            tag: Tag::default(),
            listed: None,
            due: BTreeSet::new(),
            held: BTreeSet::new(),
            bytes: 0,
            running: 0,
            credit: Credit::new(now),
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.due.len() + self.held.len()
    }

    /// The newest of its requests that wait, of those before `end` where one is said.
    pub(super) fn newest(&self, end: Option<Ticket>) -> Option<Ticket> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let before =
            |all: &BTreeSet<Ticket>| all.range((Bound::Unbounded, end)).next_back().copied();
        before(&self.due).max(before(&self.held))
    }

    /// What it would hold for its weight with `bytes` in all. Tenants are compared by it.
    pub(super) fn load(&self, bytes: u64) -> u128 {
        (u128::from(bytes) << 60) / self.share.weight()
    }

    /// Whether one more execution of it may run.
    pub(super) fn may_run(&self) -> bool {
        self.running < self.share.concurrency.max(1)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.may_run() && !self.due.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting() == 0 && self.running == 0
    }
}
