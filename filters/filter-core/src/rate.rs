//! The token bucket of a tenant, shared by every worker of the proxy.
//!
//! It is kept as a generic cell rate algorithm (ITU-T I.371, annex A): one number, the
//! *theoretical arrival time*, which is when the bucket will be full again. That is all of the
//! state, so one compare-and-swap of eight bytes takes a token, and no worker can miss another's.
//! The value outlives a pushed table: a push does not refill anybody's bucket.

use tenancy::{TenantId, problem::Problem};

use crate::{CasMismatch, Host, denial::Denial};

/// How often a token is fought for. Each loss means that another worker won one, so this many in
/// a row means far more workers than a proxy has.
const MAX_ATTEMPTS: u32 = 64;

/// The version given for a key that is absent. The host inserts an absent key whatever version is
/// given, and replaces a present one whatever it is where zero is given; a version that is never
/// handed out makes the slower of two inserters see a mismatch instead of undoing the other's.
const ABSENT: u32 = u32::MAX;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A tenant's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// How long the bucket takes to regain one request, in nanoseconds.
    pub(crate) interval_ns: u64,
    /// How many requests may pass at once.
    pub(crate) burst: u32,
}

/// What the algorithm says to one arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Pass, and remember this arrival time.
    Pass { arrival: u64 },
    /// Wait for so many nanoseconds. `mend` is what to remember instead where the remembered time
    /// is further ahead than this limit could have put it.
    Wait { nanos: u64, mend: Option<u64> },
}

impl Limit {
    /// How far ahead of now the arrival time of an empty bucket lies.
    fn window_ns(self) -> u64 {
        self.interval_ns.saturating_mul(u64::from(self.burst))
    }

    /// Decides on an arrival at `now` where `remembered` was stored.
    ///
    /// A time further ahead than an empty bucket's is left over from a larger limit, or from
    /// before the clock was set back. It counts as an empty bucket, so that the tenant waits one
    /// interval and not for a debt that its limit now could not have run up.
    fn decide(self, remembered: u64, now: u64) -> Decision {
        let empty = now.saturating_add(self.window_ns());
        let from = remembered.clamp(now, empty);
        let arrival = from.saturating_add(self.interval_ns);
        if arrival <= empty {
            return Decision::Pass { arrival };
        }
        let mend = (remembered > empty).then_some(empty);
        Decision::Wait { nanos: arrival.saturating_sub(empty), mend }
    }

    /// The denial with the headers that say when to come back: `retry-after` (RFC 9110, 10.2.3)
    /// and the fields of draft-ietf-httpapi-ratelimit-headers.
    fn denial(self, wait_ns: u64) -> Denial {
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

/// Takes one request from the bucket of `tenant` at `now` (Unix nanoseconds).
///
/// Exact over all workers: of any requests that arrive together, those and only those pass that
/// the bucket holds.
pub(crate) fn take(
    host: &impl Host,
    tenant: &TenantId,
    limit: Limit,
    now: u64,
) -> Result<(), Denial> {
    let key = format!("rate/{tenant}");
    for _ in 0..MAX_ATTEMPTS {
        let (remembered, version) = read(host, &key);
        match limit.decide(remembered, now) {
            Decision::Pass { arrival } => match write(host, &key, arrival, version) {
                Ok(()) => return Ok(()),
                Err(CasMismatch) => continue,
            },
            Decision::Wait { nanos, mend } => {
                // Where another worker was quicker it mended the same, or let time pass.
                let _ = mend.map(|arrival| write(host, &key, arrival, version));
                return Err(limit.denial(nanos));
            }
        }
    }
    Err(Denial::from(Problem::Overloaded).with("retry-after", "1".to_owned()))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory_host::{Clock, MemoryHost, SharedData};

    const MILLISECOND: u64 = 1_000_000;
    const LIMIT: Limit = Limit { interval_ns: 100 * MILLISECOND, burst: 5 };

    fn tenant() -> TenantId {
        "org_ua".parse().unwrap()
    }

    fn passes(host: &MemoryHost, limit: Limit) -> bool {
        take(host, &tenant(), limit, host.now()).is_ok()
    }

    fn passed(host: &MemoryHost, limit: Limit, tries: u32) -> usize {
        (0..tries).filter(|_| passes(host, limit)).count()
    }

    #[test]
    fn a_burst_passes_and_then_one_request_an_interval() {
        let clock = Clock::default();
        let host = MemoryHost::new(&clock, &SharedData::default());
        assert_eq!(passed(&host, LIMIT, 20), 5);
        clock.advance_nanos(LIMIT.interval_ns - 1);
        assert_eq!(passed(&host, LIMIT, 20), 0);
        clock.advance_nanos(1);
        assert_eq!(passed(&host, LIMIT, 20), 1);
        clock.advance_nanos(LIMIT.interval_ns * 3);
        assert_eq!(passed(&host, LIMIT, 20), 3);
        clock.advance_nanos(LIMIT.interval_ns * 1000);
        assert_eq!(passed(&host, LIMIT, 20), 5);
    }

    #[test]
    fn two_workers_share_one_bucket_exactly() {
        let (clock, shared) = (Clock::default(), SharedData::default());
        let workers = [MemoryHost::new(&clock, &shared), MemoryHost::new(&clock, &shared)];
        let passed = (0..40).filter(|n| passes(&workers[n % 2], LIMIT)).count();
        assert_eq!(passed, 5);
    }

    #[test]
    fn a_worker_that_is_overtaken_between_its_read_and_its_write_takes_no_token_twice() {
        // The first arrival ever is the hard one: both workers find the key absent.
        for already_taken in 0..5_u32 {
            let (clock, shared) = (Clock::default(), SharedData::default());
            let slow = MemoryHost::new(&clock, &shared);
            let quick = MemoryHost::new(&clock, &shared);
            assert_eq!(passed(&slow, LIMIT, already_taken), already_taken as usize);
            slow.before_next_write(move || {
                assert!(passes(&quick, LIMIT));
            });
            let slow_passed = passed(&slow, LIMIT, 20);
            assert_eq!(already_taken as usize + 1 + slow_passed, 5, "{already_taken} taken before");
        }
    }

    #[test]
    fn a_host_that_never_lets_us_write_is_a_denial() {
        let host = MemoryHost::new(&Clock::default(), &SharedData::default());
        host.refuse_writes();
        let denial = take(&host, &tenant(), LIMIT, host.now()).unwrap_err();
        assert_eq!(denial.cause, Problem::Overloaded.into());
    }

    #[test]
    fn a_denial_says_when_to_come_back() {
        let clock = Clock::default();
        let host = MemoryHost::new(&clock, &SharedData::default());
        let slow = Limit { interval_ns: 2_500 * MILLISECOND, burst: 3 };
        assert_eq!(passed(&host, slow, 3), 3);
        let denial = take(&host, &tenant(), slow, host.now()).unwrap_err();
        assert_eq!(
            denial.headers,
            [
                ("retry-after", "3".to_owned()),
                ("ratelimit-policy", "\"tenant\";q=3;w=8".to_owned()),
                ("ratelimit", "\"tenant\";r=0;t=3".to_owned()),
            ]
        );
        clock.advance_nanos(3 * NANOS_PER_SECOND);
        assert!(passes(&host, slow));
    }

    #[test]
    fn a_lower_limit_does_not_make_the_tenant_pay_for_the_higher_one() {
        let clock = Clock::default();
        let host = MemoryHost::new(&clock, &SharedData::default());
        let high = Limit { interval_ns: 1_000 * MILLISECOND, burst: 100 };
        assert_eq!(passed(&host, high, 200), 100);
        assert_eq!(passed(&host, LIMIT, 20), 0);
        clock.advance_nanos(LIMIT.interval_ns);
        assert_eq!(passed(&host, LIMIT, 20), 1);
    }

    #[test]
    fn a_push_refills_no_bucket() {
        let host = MemoryHost::new(&Clock::default(), &SharedData::default());
        assert_eq!(passed(&host, LIMIT, 20), 5);
        let higher_rate = Limit { interval_ns: LIMIT.interval_ns / 2, burst: 5 };
        assert_eq!(passed(&host, higher_rate, 20), 0);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let clock = Clock::default();
        let host = MemoryHost::new(&clock, &SharedData::default());
        assert_eq!(passed(&host, LIMIT, 20), 5);
        clock.set_unix_secs(host.now() / NANOS_PER_SECOND - 3600);
        assert_eq!(passed(&host, LIMIT, 20), 0);
        clock.advance_nanos(LIMIT.interval_ns);
        assert_eq!(passed(&host, LIMIT, 20), 1);
    }

    #[test]
    fn a_value_of_another_shape_denies_once_and_is_mended() {
        let clock = Clock::default();
        let host = MemoryHost::new(&clock, &SharedData::default());
        host.set_shared_data("rate/org_ua", b"not a time", 0).unwrap();
        assert_eq!(passed(&host, LIMIT, 3), 0);
        clock.advance_nanos(LIMIT.interval_ns);
        assert!(passes(&host, LIMIT));
    }

    proptest! {
        #[test]
        fn no_span_of_time_admits_more_than_burst_and_rate_times_elapsed(
            gaps in prop::collection::vec(0_u64..400, 1..300),
            interval in 1_u64..200,
            burst in 1_u32..20,
        ) {
            let limit = Limit { interval_ns: interval * MILLISECOND, burst };
            let clock = Clock::default();
            let host = MemoryHost::new(&clock, &SharedData::default());
            let mut admitted = Vec::new();
            for gap in gaps {
                clock.advance_nanos(gap * MILLISECOND);
                if passes(&host, limit) {
                    admitted.push(host.now());
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let allowed = u64::from(burst) + (to - from) / limit.interval_ns;
                    let passed = (last - first + 1) as u64;
                    prop_assert!(passed <= allowed, "{passed} of {allowed}");
                }
            }
        }

        #[test]
        fn no_limit_and_no_time_overflows(
            interval_ns: u64, burst: u32, remembered: u64, now: u64,
        ) {
            let limit = Limit { interval_ns, burst };
            if let Decision::Wait { nanos, .. } = limit.decide(remembered, now) {
                let _ = limit.denial(nanos);
            }
        }
    }
}
