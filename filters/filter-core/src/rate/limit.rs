//! The arithmetic of a limit: the generic cell rate algorithm (ITU-T I.371, annex A).

use tenancy::problem::Problem;

use crate::denial::Denial;

/// What of a bucket a worker may let through on its own: one in so many.
const SHARE: u32 = 64;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A tenant's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// How long the bucket takes to regain one request, in nanoseconds.
    pub(crate) interval_ns: u64,
    /// How many requests may pass at once.
    pub(crate) burst: u32,
}

/// What the bucket says to one arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settled {
    /// The arrival time to remember, in Unix nanoseconds. It is another than before only where
    /// something was taken, or mended.
    pub(super) arrival: u64,
    /// How many requests are still owed.
    pub(super) unpaid: u32,
    /// Whether the arrival must wait, and for how many nanoseconds.
    pub(super) wait_ns: Option<u64>,
}

impl Limit {
    /// How far ahead of now the arrival time of an empty bucket lies.
    fn window_ns(self) -> u64 {
        self.interval_ns.saturating_mul(u64::from(self.burst))
    }

    /// Takes `owed` requests and then the one that arrives at `now`, where `remembered` was stored.
    ///
    /// A time further ahead than an empty bucket's is left over from a larger limit, or from
    /// before the clock was set back. It counts as an empty bucket, so that the tenant waits one
    /// interval and not for a debt that its limit now could not have run up; for the same reason
    /// no more is still owed than this limit lets a worker owe.
    pub(super) fn settle(self, remembered: u64, now: u64, owed: u32) -> Settled {
        let empty = now.saturating_add(self.window_ns());
        let from = remembered.clamp(now, empty);
        let held = self.requests(empty.saturating_sub(from));
        if owed < held {
            let arrival = from.saturating_add(self.time(owed.saturating_add(1)));
            return Settled { arrival, unpaid: 0, wait_ns: None };
        }
        // As `held` is not more than `owed`, all that the bucket holds is paid.
        let unpaid = owed.saturating_sub(held).min(self.most_on_its_own());
        let paid = from.saturating_add(self.time(held));
        let free = paid.saturating_add(self.time(unpaid.saturating_add(1)));
        let arrival = if held == 0 { remembered.min(empty) } else { paid };
        Settled { arrival, unpaid, wait_ns: Some(free.saturating_sub(empty)) }
    }

    /// How many more requests a worker may let through on its own, that has just taken one and
    /// left `arrival`.
    pub(super) fn left_on_its_own(self, arrival: u64, now: u64) -> u32 {
        let empty = now.saturating_add(self.window_ns());
        self.requests(empty.saturating_sub(arrival.max(now))) / SHARE
    }

    /// The most that it ever may.
    pub(super) fn most_on_its_own(self) -> u32 {
        self.burst / SHARE
    }

    /// How many requests the bucket regains in `nanos`; no more than it holds.
    fn requests(self, nanos: u64) -> u32 {
        let regained = nanos.checked_div(self.interval_ns).unwrap_or(u64::MAX);
        u32::try_from(regained).unwrap_or(u32::MAX).min(self.burst)
    }

    /// How long the bucket takes to regain `requests`.
    fn time(self, requests: u32) -> u64 {
        self.interval_ns.saturating_mul(u64::from(requests))
    }

    /// The denial with the headers that say when to come back: `retry-after` (RFC 9110, 10.2.3)
    /// and the fields of draft-ietf-httpapi-ratelimit-headers.
    pub(super) fn denial(self, wait_ns: u64) -> Denial {
        let wait = seconds(wait_ns);
        let window = seconds(self.window_ns());
        Denial::from(Problem::RateLimited)
            .with("retry-after", wait.to_string())
            .with("ratelimit-policy", format!("\"tenant\";q={};w={window}", self.burst))
            .with("ratelimit", format!("\"tenant\";r=0;t={wait}"))
    }
}

/// Whole seconds, rounded up, and at least one.
fn seconds(nanos: u64) -> u64 {
    nanos.div_ceil(NANOS_PER_SECOND).max(1)
}
