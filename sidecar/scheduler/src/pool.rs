//! A fixed number of threads, and a queue that ends.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tenancy::problem::Problem;
use tokio::sync::oneshot;

/// Why a job was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// As many jobs wait as may.
    #[error("expected fewer than {capacity} requests to be waiting on this node: try again later")]
    Full {
        /// The most that may wait.
        capacity: usize,
    },
    /// The job panicked.
    #[error("the request made its thread fail")]
    Panicked,
}

impl PoolError {
    /// What the caller is told.
    pub const fn problem(&self) -> Problem {
        match self {
            Self::Full { .. } => Problem::Overloaded,
            Self::Panicked => Problem::InferenceFailed,
        }
    }

    /// After how long it is worth trying again, for `retry-after`. The queue is short against a
    /// second, which is the smallest that the header can say.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Full { .. } => Some(Duration::from_secs(1)),
            Self::Panicked => None,
        }
    }
}

/// Threads that run inference, first come, first served.
///
/// Inference computes and does not wait, so more threads than cores would only make every request
/// slower; what does not fit waits in a queue of known length, and what does not fit there is
/// refused at once, while the caller can still go elsewhere.
///
/// Dropping the pool ends its threads. Nobody waits for a job then: who waits borrows the pool.
pub struct WorkerPool {
    queue: Arc<Queue>,
    threads: usize,
}

type Job = Box<dyn FnOnce() + Send>;

struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    idle: usize,
    stopped: bool,
}

impl WorkerPool {
    /// Starts `threads` threads, at least one, before which at most `capacity` jobs wait. A
    /// capacity of 0 refuses what no idle thread takes.
    ///
    /// # Errors
    /// What the operating system says where it starts no thread.
    pub fn new(threads: usize, capacity: usize) -> io::Result<Self> {
        let threads = threads.max(1);
        let queue = Queue { jobs: Mutex::default(), changed: Condvar::new(), capacity };
        let pool = Self { queue: Arc::new(queue), threads };
        for number in 0..threads {
            let queue = Arc::clone(&pool.queue);
            queue.lock().idle += 1;
            thread::Builder::new()
                .name(format!("inference-{number}"))
                .spawn(move || queue.work())?;
        }
        Ok(pool)
    }

    /// As many threads as this process may use cores.
    ///
    /// # Errors
    /// As [`WorkerPool::new`].
    pub fn with_a_thread_per_core(capacity: usize) -> io::Result<Self> {
        Self::new(thread::available_parallelism().map_or(1, usize::from), capacity)
    }

    /// Runs `job` on one of the threads and waits for what it returns. A job whose caller goes
    /// away before a thread takes it is not run.
    ///
    /// # Errors
    /// [`PoolError::Full`] at once, [`PoolError::Panicked`].
    pub async fn run<T, F>(&self, job: F) -> Result<T, PoolError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Box::new(move || {
            if !answer.is_closed() {
                let result = catch_unwind(AssertUnwindSafe(job)).map_err(|_| PoolError::Panicked);
                // A caller that went away meanwhile wants no answer.
                let _ = answer.send(result);
            }
        }))?;
        answered.await.unwrap_or(Err(PoolError::Panicked))
    }

    /// How many threads there are.
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// How many jobs wait for a thread now.
    pub fn waiting(&self) -> usize {
        self.queue.lock().waiting.len()
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.queue.lock().stopped = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn push(&self, job: Job) -> Result<(), PoolError> {
        {
            let mut jobs = self.lock();
            // An idle thread takes its job from the queue too, so those do not count as waiting.
            if jobs.waiting.len() >= self.capacity.saturating_add(jobs.idle) {
                return Err(PoolError::Full { capacity: self.capacity });
            }
            jobs.waiting.push_back(job);
        }
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            job();
            self.lock().idle += 1;
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if jobs.stopped {
                return None;
            }
            if let Some(job) = jobs.waiting.pop_front() {
                jobs.idle -= 1;
                return Some(job);
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Jobs run outside the lock, so a poisoned one guards whole state.
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
