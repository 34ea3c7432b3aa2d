//! What the threads promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use scheduler::{
    ExecuteError, Executor, Threads,
    queue::{Join, Refused, Request, Room, Share},
};
use tenancy::{TenantId, problem::Problem};

type Job = Box<dyn FnOnce() -> String + Send>;
type Jobs = Executor<&'static str, Job, String>;

fn jobs(threads: Threads) -> Jobs {
    let room = Room { requests: 100, bytes: 1000 };
    Executor::start(threads, room, |jobs: Vec<Job>| jobs.into_iter().map(|job| job()).collect())
        .unwrap()
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn request(of: &str, job: impl FnOnce() -> String + Send + 'static) -> Request<&'static str, Job> {
    let payload: Job = Box::new(job);
    let (join, deadline) = (None, None);
    Request { tenant: tenant(of), kind: "job", rows: 1, bytes: 0, join, deadline, payload }
}

/// Submits a request and does not wait for it.
fn submitted<T>(job: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    job.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A job that holds its thread until the sender goes, and says when it has one.
fn blocker() -> (mpsc::Sender<()>, mpsc::Receiver<()>, impl FnOnce() -> String + Send + 'static) {
    let (go, wait) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let job = move || {
        started.send(()).unwrap();
        let _ = wait.recv();
        String::new()
    };
    (go, has_started, job)
}

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_request_of_a_tenant_within_its_part_runs_where_nobody_takes_its_processor() {
    for threads in [Threads::Alike(2), Threads::InTwoLanes(2)] {
        let jobs = jobs(threads);
        let executed = jobs.run(request("a", thread_name)).await.unwrap();
        assert!(executed.answer.starts_with("inference-"), "{executed:?}");
        assert_eq!((executed.requests, executed.rows), (1, 1));
    }
}

#[tokio::test]
async fn what_is_known_to_be_brief_is_run_by_who_asks_unless_something_runs_or_waits() {
    for threads in [Threads::Alike(1), Threads::InTwoLanes(1)] {
        let jobs = jobs(threads);
        let asks = thread_name();
        // What it takes is not known before it was measured, and a first time is no rule.
        let mut ran_by = vec![];
        for _ in 0..40 {
            ran_by.push(jobs.run(request("a", thread_name)).await.unwrap().answer);
        }
        assert!(ran_by[0].starts_with("inference-"), "{ran_by:?}");
        assert_eq!(ran_by.last(), Some(&asks), "{ran_by:?}");

        let (go, started, job) = blocker();
        let mut running = pin!(jobs.run(Request { kind: "other", ..request("b", job) }));
        assert!(submitted(&mut running).is_pending());
        started.recv().unwrap();
        let mut waiting = pin!(jobs.run(request("a", thread_name)));
        assert!(submitted(&mut waiting).is_pending());
        drop(go);
        assert!(waiting.await.unwrap().answer.starts_with("inference-"));
        running.await.unwrap();
    }
}

#[tokio::test]
async fn a_tenant_that_uses_more_than_its_part_runs_in_what_is_spare() {
    let jobs = jobs(Threads::InTwoLanes(1));
    // One that was there not long ago has its part, whether it uses it or not: here nearly all.
    let (quiet, greedy) = (tenant("quiet"), tenant("greedy"));
    let large = Share { weight: 10_000, ..Share::default() };
    jobs.set_shares([(&quiet, large), (&greedy, Share::default())]);
    jobs.run(request("quiet", thread_name)).await.unwrap();
    let busy = || {
        let until = Instant::now() + Duration::from_millis(30);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        thread_name()
    };
    // Processor time is what counts, so this ends however slow the machine is.
    for _ in 0..10_000 {
        let executed = jobs.run(request("greedy", busy)).await.unwrap();
        if executed.answer.starts_with("spare-") {
            return;
        }
    }
    panic!("it never left the first lane");
}

#[tokio::test]
async fn a_tenant_with_too_much_waiting_is_refused_and_its_neighbour_is_not() {
    let jobs = jobs(Threads::Alike(1));
    let share = Share { waiting: 1, ..Share::default() };
    let (a, b) = (tenant("a"), tenant("b"));
    jobs.set_shares([(&a, share), (&b, share)]);
    let (go, started, job) = blocker();
    let mut running = pin!(jobs.run(request("a", job)));
    assert!(submitted(&mut running).is_pending());
    started.recv().unwrap();
    let mut waiting = pin!(jobs.run(request("a", thread_name)));
    assert!(submitted(&mut waiting).is_pending());

    let refused = jobs.run(request("a", thread_name)).await.unwrap_err();
    assert_eq!(refused, ExecuteError::Refused(Refused::TenantFull { most: 1 }));
    assert_eq!(refused.problem(), Problem::Overloaded);
    assert_eq!(refused.problem().status(), 503);
    assert!(jobs.refuses(&a).is_some() && jobs.refuses(&b).is_none());
    let mut neighbour = pin!(jobs.run(request("b", thread_name)));
    assert!(submitted(&mut neighbour).is_pending());
    assert_eq!(jobs.waiting(), 2);
    drop(go);
    running.await.unwrap();
    waiting.await.unwrap();
    neighbour.await.unwrap();
}

#[tokio::test]
async fn who_holds_more_memory_than_its_part_makes_room_and_is_told() {
    let jobs = jobs(Threads::Alike(1));
    let (go, started, job) = blocker();
    let mut running = pin!(jobs.run(request("a", job)));
    assert!(submitted(&mut running).is_pending());
    started.recv().unwrap();
    let sized = |of: &str, bytes| Request { bytes, ..request(of, thread_name) };
    let mut first = pin!(jobs.run(sized("a", 600)));
    let mut newest = pin!(jobs.run(sized("a", 400)));
    assert!(submitted(&mut first).is_pending() && submitted(&mut newest).is_pending());
    assert_eq!(jobs.waiting_bytes(), 1000);

    let refused = jobs.run(sized("a", 1)).await.unwrap_err();
    assert_eq!(refused, ExecuteError::Refused(Refused::BytesFull { most: 1000 }));
    assert_eq!((refused.problem(), refused.reason()), (Problem::Overloaded, "queue_bytes_full"));
    let too_large = jobs.run(sized("b", 1001)).await.unwrap_err();
    assert_eq!((too_large.problem(), too_large.reason()), (Problem::BodyTooLarge, "too_large"));

    let mut neighbour = pin!(jobs.run(sized("b", 300)));
    assert!(submitted(&mut neighbour).is_pending());
    let put_out = Err(ExecuteError::Refused(Refused::BytesFull { most: 1000 }));
    assert_eq!(submitted(&mut newest), Poll::Ready(put_out));
    assert_eq!((jobs.waiting(), jobs.waiting_bytes()), (2, 900));
    drop(go);
    running.await.unwrap();
    first.await.unwrap();
    neighbour.await.unwrap();
    assert_eq!(jobs.waiting_bytes(), 0);
}

#[tokio::test]
async fn a_request_past_its_deadline_is_not_run() {
    let jobs = jobs(Threads::Alike(1));
    let ran = Arc::new(AtomicBool::new(false));
    let job = {
        let ran = Arc::clone(&ran);
        move || {
            ran.store(true, Ordering::SeqCst);
            String::new()
        }
    };
    let deadline = Some(jobs.time(Instant::now()));
    let refused = jobs.run(Request { deadline, ..request("a", job) }).await.unwrap_err();
    assert!(matches!(refused, ExecuteError::Refused(Refused::TooLate { .. })), "{refused}");
    assert_eq!(refused.problem().status(), 504);
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_panicking_request_fails_alone() {
    let jobs = jobs(Threads::Alike(1));
    let failed = jobs.run(request("a", || panic!("a model's mistake"))).await;
    assert_eq!(failed, Err(ExecuteError::Panicked));
    assert_eq!(jobs.run(request("a", || "7".to_owned())).await.unwrap().answer, "7");
}

#[tokio::test]
async fn a_request_whose_caller_went_away_is_not_run() {
    let jobs = jobs(Threads::Alike(1));
    let (go, started, job) = blocker();
    let mut running = pin!(jobs.run(request("a", job)));
    assert!(submitted(&mut running).is_pending());
    started.recv().unwrap();
    let ran = Arc::new(AtomicBool::new(false));
    {
        let ran = Arc::clone(&ran);
        let job = move || {
            ran.store(true, Ordering::SeqCst);
            String::new()
        };
        let mut gone = pin!(jobs.run(request("a", job)));
        assert!(submitted(&mut gone).is_pending());
        assert_eq!(jobs.waiting(), 1);
    }
    assert_eq!(jobs.waiting(), 0);
    drop(go);
    running.await.unwrap();
    jobs.run(request("a", thread_name)).await.unwrap();
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn what_is_joined_gets_each_its_own_answer() {
    let jobs = jobs(Threads::InTwoLanes(1));
    let join = Some(Join { max_rows: 3, wait: Duration::from_secs(3600) });
    let joined =
        |name: &'static str| jobs.run(Request { join, ..request(name, move || name.to_owned()) });
    // The third makes it full, so that none waits for its hour.
    let (a, b, c) = tokio::join!(joined("a"), joined("b"), joined("c"));
    for (executed, name) in [(a, "a"), (b, "b"), (c, "c")] {
        let executed = executed.unwrap();
        assert_eq!((executed.answer.as_str(), executed.requests, executed.rows), (name, 3, 3));
    }
}
