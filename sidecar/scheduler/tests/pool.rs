//! What the pool of threads promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    collections::HashSet,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
};

use scheduler::{PoolError, WorkerPool};
use tenancy::problem::Problem;

/// Submits a job and does not wait for it.
fn submitted<T>(job: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    job.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A job that holds its thread until the sender goes, and says when it has one.
fn blocker() -> (mpsc::Sender<()>, mpsc::Receiver<()>, impl FnOnce() + Send + 'static) {
    let (go, wait) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let job = move || {
        started.send(()).unwrap();
        let _ = wait.recv();
    };
    (go, has_started, job)
}

#[tokio::test]
async fn a_job_returns_its_value_from_a_thread_of_the_pool() {
    let pool = WorkerPool::new(2, 4).unwrap();
    let name = pool.run(|| thread::current().name().map(str::to_owned)).await.unwrap().unwrap();
    assert!(name.starts_with("inference-"), "{name}");
}

#[tokio::test]
async fn no_more_threads_run_jobs_than_were_asked_for() {
    let pool = Arc::new(WorkerPool::new(2, 100).unwrap());
    assert_eq!(pool.threads(), 2);
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let jobs: Vec<_> = (0..50)
        .map(|_| {
            let (pool, seen) = (Arc::clone(&pool), Arc::clone(&seen));
            tokio::spawn(async move {
                pool.run(move || seen.lock().unwrap().insert(thread::current().id())).await
            })
        })
        .collect();
    for job in jobs {
        job.await.unwrap().unwrap();
    }
    assert!((1..=2).contains(&seen.lock().unwrap().len()));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let pool = WorkerPool::new(1, 2).unwrap();
    let (go, started, job) = blocker();
    let mut running = pin!(pool.run(job));
    assert!(submitted(&mut running).is_pending());
    started.recv().unwrap();
    let one = || 1;
    let mut waiting = [pin!(pool.run(one)), pin!(pool.run(one))];
    for job in &mut waiting {
        assert!(submitted(job).is_pending());
    }
    assert_eq!(pool.waiting(), 2);

    let refused = pool.run(|| 3).await.unwrap_err();
    assert_eq!(refused, PoolError::Full { capacity: 2 });
    assert_eq!(refused.problem(), Problem::Overloaded);
    assert_eq!(refused.problem().status(), 503);
    assert!(refused.retry_after().is_some());

    drop(go);
    running.await.unwrap();
    for job in waiting {
        assert_eq!(job.await, Ok(1));
    }
}

#[tokio::test]
async fn a_panicking_job_fails_alone() {
    let pool = WorkerPool::new(1, 4).unwrap();
    let failed = pool.run(|| panic!("a model's mistake")).await;
    assert_eq!(failed, Err::<(), _>(PoolError::Panicked));
    assert_eq!(pool.run(|| 7).await, Ok(7));
}

#[tokio::test]
async fn a_job_whose_caller_went_away_is_not_run() {
    let pool = WorkerPool::new(1, 4).unwrap();
    let (go, started, job) = blocker();
    let mut running = pin!(pool.run(job));
    assert!(submitted(&mut running).is_pending());
    started.recv().unwrap();

    let ran = Arc::new(AtomicBool::new(false));
    {
        let ran = Arc::clone(&ran);
        let mut gone = pin!(pool.run(move || ran.store(true, Ordering::SeqCst)));
        assert!(submitted(&mut gone).is_pending());
    }
    drop(go);
    running.await.unwrap();
    // The one thread takes jobs in their order, so this one comes after the one that is gone.
    pool.run(|| ()).await.unwrap();
    assert!(!ran.load(Ordering::SeqCst));
}
