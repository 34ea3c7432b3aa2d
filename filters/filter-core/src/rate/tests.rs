#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::memory_host::{Clock, MemoryHost, SharedData};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const LIMIT: Limit = Limit { interval_ns: 100 * MILLISECOND, burst: 5 };

/// Of 640 requests a worker may let through ten on its own. It regains none while a test lasts.
const LARGE: Limit = Limit { interval_ns: 3_600 * SECOND, burst: 640 };

/// A worker of the proxy.
struct Worker {
    host: MemoryHost,
    buckets: Buckets,
}

impl Worker {
    fn new(clock: &Clock, shared: &SharedData) -> Self {
        Self { host: MemoryHost::new(clock, shared), buckets: Buckets::default() }
    }

    /// One that is alone in its proxy.
    fn alone(clock: &Clock) -> Self {
        Self::new(clock, &SharedData::default())
    }

    fn take(&self, limit: Limit) -> Result<(), Denial> {
        self.buckets.take(&self.host, &tenant(), limit, self.host.now())
    }

    fn passes(&self, limit: Limit) -> bool {
        self.take(limit).is_ok()
    }

    fn passed(&self, limit: Limit, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(self.passes(limit))).sum()
    }
}

fn tenant() -> TenantId {
    "org_ua".parse().unwrap()
}

fn proxy(clock: &Clock, workers: usize) -> Vec<Worker> {
    let shared = SharedData::default();
    (0..workers).map(|_| Worker::new(clock, &shared)).collect()
}

#[test]
fn a_burst_passes_and_then_one_request_an_interval() {
    let clock = Clock::default();
    let worker = Worker::alone(&clock);
    assert_eq!(worker.passed(LIMIT, 20), 5);
    clock.advance_nanos(LIMIT.interval_ns - 1);
    assert_eq!(worker.passed(LIMIT, 20), 0);
    clock.advance_nanos(1);
    assert_eq!(worker.passed(LIMIT, 20), 1);
    clock.advance_nanos(LIMIT.interval_ns * 3);
    assert_eq!(worker.passed(LIMIT, 20), 3);
    clock.advance_nanos(LIMIT.interval_ns * 1000);
    assert_eq!(worker.passed(LIMIT, 20), 5);
}

#[test]
fn two_workers_share_one_bucket_exactly() {
    let workers = proxy(&Clock::default(), 2);
    let passed = (0..40).filter(|n| workers[n % 2].passes(LIMIT)).count();
    assert_eq!(passed, 5);
}

#[test]
fn a_worker_that_is_overtaken_between_its_read_and_its_write_takes_no_token_twice() {
    // The first arrival ever is the hard one: both workers find the key absent.
    for already_taken in 0..5_u32 {
        let (clock, shared) = (Clock::default(), SharedData::default());
        let slow = Worker::new(&clock, &shared);
        let quick = Worker::new(&clock, &shared);
        assert_eq!(slow.passed(LIMIT, already_taken), already_taken);
        slow.host.before_next_write(move || assert!(quick.passes(LIMIT)));
        let slow_passed = slow.passed(LIMIT, 20);
        assert_eq!(already_taken + 1 + slow_passed, 5, "{already_taken} taken before");
    }
}

#[test]
fn a_host_that_never_lets_us_write_is_a_denial() {
    let worker = Worker::alone(&Clock::default());
    worker.host.refuse_writes();
    assert_eq!(worker.take(LIMIT).unwrap_err().cause, Problem::Overloaded.into());
}

#[test]
fn a_denial_says_when_to_come_back() {
    let clock = Clock::default();
    let worker = Worker::alone(&clock);
    let slow = Limit { interval_ns: 2_500 * MILLISECOND, burst: 3 };
    assert_eq!(worker.passed(slow, 3), 3);
    let denial = worker.take(slow).unwrap_err();
    assert_eq!(
        denial.headers,
        [
            ("retry-after", "3".to_owned()),
            ("ratelimit-policy", "\"tenant\";q=3;w=8".to_owned()),
            ("ratelimit", "\"tenant\";r=0;t=3".to_owned()),
        ]
    );
    clock.advance_nanos(3 * SECOND);
    assert!(worker.passes(slow));
}

#[test]
fn a_lower_limit_does_not_make_the_tenant_pay_for_the_higher_one() {
    let high = Limit { interval_ns: 1_000 * MILLISECOND, burst: 6_400 };
    for low in [LIMIT, Limit { interval_ns: MILLISECOND, burst: 64 }] {
        let clock = Clock::default();
        let worker = Worker::alone(&clock);
        // Of these the worker has taken only a part from the bucket.
        assert_eq!(worker.passed(high, 6_350), 6_350);
        let most_owed = low.most_on_its_own();
        assert_eq!(worker.passed(low, 20), 0);
        clock.advance_nanos(low.interval_ns * u64::from(most_owed + 1));
        assert!((1..=1 + most_owed).contains(&worker.passed(low, 20)));
    }
}

#[test]
fn a_push_refills_no_bucket() {
    let clock = Clock::default();
    let worker = Worker::alone(&clock);
    assert_eq!(worker.passed(LIMIT, 20), 5);
    let higher_rate = Limit { interval_ns: LIMIT.interval_ns / 2, burst: 5 };
    assert_eq!(worker.passed(higher_rate, 20), 0);

    let worker = Worker::alone(&clock);
    let others = |other: &TenantId| *other == tenant();
    for pushes in 1..=128 {
        assert_eq!(worker.passed(LARGE, 5), 5, "after {pushes} pushes");
        worker.buckets.keep(others);
    }
    assert!(!worker.passes(LARGE));
}

#[test]
fn a_changed_limit_holds_from_the_next_request_on() {
    let worker = Worker::alone(&Clock::default());
    assert_eq!(worker.passed(LARGE, 4), 4);
    let changed = Limit { burst: 100, ..LARGE };
    assert_eq!(worker.passed(changed, 1_000), 96);
}

#[test]
fn a_clock_set_back_locks_nobody_out_and_refills_nothing() {
    for limit in [LIMIT, Limit { interval_ns: MILLISECOND, burst: 6_400 }] {
        let clock = Clock::default();
        let worker = Worker::alone(&clock);
        assert_eq!(worker.passed(limit, 10_000), limit.burst);
        clock.set_unix_secs(clock.unix_secs() - 3600);
        assert_eq!(worker.passed(limit, 20), 0);
        clock.advance_nanos(limit.interval_ns);
        assert_eq!(worker.passed(limit, 20), 1);
    }
}

#[test]
fn a_value_of_another_shape_denies_once_and_is_mended() {
    let clock = Clock::default();
    let worker = Worker::alone(&clock);
    worker.host.set_shared_data("rate/org_ua", b"not a time", 0).unwrap();
    assert_eq!(worker.passed(LIMIT, 3), 0);
    clock.advance_nanos(LIMIT.interval_ns);
    assert!(worker.passes(LIMIT));
}

#[test]
fn a_large_burst_is_exact_for_one_worker() {
    let worker = Worker::alone(&Clock::default());
    assert_eq!(worker.passed(LARGE, 2_000), LARGE.burst);
}

#[test]
fn a_large_burst_asks_the_bucket_for_few_of_its_requests_and_for_each_where_little_is_left() {
    let worker = Worker::alone(&Clock::default());
    let settlements = |passed| {
        let before = worker.host.shared_reads();
        assert_eq!(worker.passed(LARGE, passed), passed);
        worker.host.shared_reads() - before
    };
    // One of ten, then of nine, and so on: each time it may let through a 64th of what is left.
    assert!(settlements(320) < 50);
    assert!(settlements(257) < 100);
    assert_eq!(settlements(63), 63);
}

#[test]
fn what_a_worker_lets_through_on_its_own_it_settles_in_time_and_pays() {
    let clock = Clock::default();
    let workers = proxy(&clock, 2);
    // A settled request, and the right to ten more that nobody knows of.
    assert!(workers[0].passes(LARGE));
    assert_eq!(workers[1].passed(LARGE, 2_000), LARGE.burst - 1);
    assert_eq!(workers[0].passed(LARGE, 2_000), LARGE.burst / 64 - 1);
    // What it let through too many it waits for.
    clock.advance_nanos(LARGE.interval_ns * u64::from(LARGE.burst / 64 - 1));
    assert!(!workers[0].passes(LARGE));
    clock.advance_nanos(LARGE.interval_ns);
    assert_eq!(workers[0].passed(LARGE, 20), 1);

    let workers = proxy(&clock, 2);
    assert!(workers[0].passes(LARGE));
    assert_eq!(workers[1].passed(LARGE, 2_000), LARGE.burst - 1);
    clock.advance_nanos(FRESH_NS);
    assert!(!workers[0].passes(LARGE));
}

#[test]
fn a_tenant_that_stays_within_its_limit_is_never_denied() {
    let clock = Clock::default();
    let workers = proxy(&clock, 4);
    let limit = Limit { interval_ns: 2 * MILLISECOND, burst: 1_000 };
    for request in 0..20_000 {
        clock.advance_nanos(limit.interval_ns);
        assert!(workers[request * 7 / 3 % 4].passes(limit), "request {request}");
    }
}

#[test]
fn what_is_remembered_of_a_tenant_ends_with_it() {
    let worker = Worker::alone(&Clock::default());
    assert!(worker.passes(LARGE));
    assert_eq!(worker.buckets.tabs.borrow().len(), 1);
    worker.buckets.keep(|_| false);
    assert!(worker.buckets.tabs.borrow().is_empty());
    assert_eq!(worker.passed(LIMIT, 20), 0, "the bucket is another");
}

/// Requests: how long after the one before, in nanoseconds, and which worker it comes to.
fn arrivals(gap_ns: std::ops::Range<u64>) -> impl Strategy<Value = Vec<(u64, usize)>> {
    let gap = prop_oneof![Just(0), Just(0), gap_ns];
    prop::collection::vec((gap, 0_usize..100), 1..400)
}

proptest! {
    #[test]
    fn no_span_of_time_admits_more_than_the_limit_and_a_64th_for_each_worker_but_one(
        arrivals in arrivals(0..400 * MILLISECOND),
        interval_ns in MILLISECOND..200 * MILLISECOND,
        burst in prop_oneof![1_u32..20, 60_u32..300],
        workers in 1_usize..5,
    ) {
        let limit = Limit { interval_ns, burst };
        let clock = Clock::default();
        let proxy = proxy(&clock, workers);
        let mut admitted = Vec::new();
        for (gap, worker) in arrivals {
            clock.advance_nanos(gap);
            let worker = &proxy[worker % workers];
            if worker.passes(limit) {
                admitted.push(worker.host.now());
            }
        }
        let on_their_own = u64::from(burst / 64) * (workers as u64 - 1);
        for (first, from) in admitted.iter().enumerate() {
            for (last, to) in admitted.iter().enumerate().skip(first) {
                let allowed = u64::from(burst) + on_their_own + (to - from) / interval_ns;
                let passed = (last - first + 1) as u64;
                prop_assert!(passed <= allowed, "{passed} of {allowed}");
            }
        }
    }

    #[test]
    fn no_limit_and_no_time_overflows(
        interval_ns: u64, burst: u32, remembered: u64, now: u64, owed: u32,
    ) {
        let limit = Limit { interval_ns, burst };
        let settled = limit.settle(remembered, now, owed);
        prop_assert!(settled.unpaid <= owed.min(limit.most_on_its_own()));
        prop_assert!(limit.left_on_its_own(settled.arrival, now) <= limit.most_on_its_own());
        let _ = settled.wait_ns.map(|nanos| limit.denial(nanos));
    }
}
