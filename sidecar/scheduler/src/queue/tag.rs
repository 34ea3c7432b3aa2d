//! Virtual time.

use std::time::Duration;

use super::Share;

/// Keeps the remainder of dividing by a weight below a thousandth of a nanosecond.
const SCALE: u128 = 1_000;

/// A point in virtual time, which a tenant of weight 1 moves along by one nanosecond for each
/// nanosecond of execution, and one of weight 2 by half as much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tag(u128);

impl Tag {
    /// Where the tenant is after `cost`.
    pub(super) fn after(self, cost: Duration, share: Share) -> Self {
        Self(self.0.saturating_add(distance(cost, share)))
    }

    /// Where the tenant would be without `cost`.
    pub(super) fn without(self, cost: Duration, share: Share) -> Self {
        Self(self.0.saturating_sub(distance(cost, share)))
    }

    /// The tag by which tenants are ordered: ahead by what its priority allows. The lowest priority
    /// has the latest tag, so that none is below zero.
    pub(super) fn ordered(self, share: Share) -> Self {
        let behind = super::Priority::High.warp() - share.priority.warp();
        Self(self.0.saturating_add(behind.as_nanos() * SCALE))
    }
}

fn distance(cost: Duration, share: Share) -> u128 {
    cost.as_nanos() * SCALE / share.weight()
}
