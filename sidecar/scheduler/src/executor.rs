//! Threads that run what the queue says.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tenancy::{TenantId, problem::Problem};
use tokio::sync::oneshot;

use crate::{
    processor,
    queue::{Batch, Lane, Next, Queue, Refused, Request, Room, Share, Ticket, Time},
};

/// Why a request was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// It was not let in, or it could no longer be answered in time.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The execution panicked, or the threads have ended.
    #[error("the request made its thread fail")]
    Panicked,
}

impl ExecuteError {
    /// A name for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.reason(),
            Self::Panicked => "panicked",
        }
    }

    /// What the caller is told.
    pub const fn problem(&self) -> Problem {
        match self {
            Self::Refused(Refused::TooLate { .. }) => Problem::DeadlineExceeded,
            Self::Refused(Refused::TooLarge { .. }) => Problem::BodyTooLarge,
            Self::Refused(_) => Problem::Overloaded,
            Self::Panicked => Problem::InferenceFailed,
        }
    }
}

/// What came of a request, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed<A> {
    /// The answer.
    pub answer: A,
    /// How long it waited for a thread.
    pub waited: Duration,
    /// Its part of the processor time that the execution took.
    pub cost: Duration,
    /// How many requests were in the execution.
    pub requests: usize,
    /// How many rows they had together.
    pub rows: u64,
}

/// How many threads run executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// So many, all alike.
    Alike(usize),
    /// So many for executions of tenants that are within their part of the processors, and as many
    /// for the others, which run when the operating system has nothing else to do: they give way at
    /// once. Both are as many as there are processors, so that either keeps all of them busy alone.
    InTwoLanes(usize),
}

/// What is known to take at most this long, while a processor is free and nothing else waits, is run by
/// whoever asks: to wake a thread, and to be woken by it, takes about as long.
const BRIEF: Duration = Duration::from_micros(200);

/// Runs requests of `I` to answers of `A`, fairly among tenants. `K` is the kind of an execution:
/// requests of one kind may be run as one.
///
/// Dropping it ends its threads. Nobody waits for an answer then: who waits borrows it.
pub struct Executor<K, I, A> {
    inner: Arc<Inner<K, I, A>>,
}

struct Inner<K, I, A> {
    state: Mutex<State<K, I, A>>,
    processors: usize,
    /// The lane of threads that give way to nobody, of which whoever asks is one.
    first_lane: Lane,
    guaranteed: Condvar,
    spare: Condvar,
    run: Box<dyn Fn(Vec<I>) -> Vec<A> + Send + Sync>,
    epoch: Instant,
}

struct State<K, I, A> {
    queue: Queue<K, Job<I, A>>,
    stopped: bool,
}

struct Job<I, A> {
    input: I,
    told: Told<A>,
}

/// A request's ticket, and what who asks is to run of it.
type Submitted<I, A> = (Ticket, Option<Batch<Job<I, A>>>);

type Told<A> = oneshot::Sender<Result<Executed<A>, ExecuteError>>;

impl<K, I, A> Executor<K, I, A>
where
    K: Clone + Eq + std::hash::Hash + Send + 'static,
    I: Send + 'static,
    A: Send + 'static,
{
    /// Starts threads that run executions by `run`, which gives an answer for each input, in their
    /// order; before them, there is `room` for requests to wait.
    ///
    /// # Errors
    /// What the operating system says where it starts no thread.
    pub fn start(
        threads: Threads,
        room: Room,
        run: impl Fn(Vec<I>) -> Vec<A> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let lanes: &[Lane] = match threads {
            Threads::Alike(_) => &[Lane::Any],
            Threads::InTwoLanes(_) => &[Lane::Guaranteed, Lane::Spare],
        };
        let (Threads::Alike(count) | Threads::InTwoLanes(count)) = threads;
        let queue = Queue::new(room, count);
        let executor = Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State { queue, stopped: false }),
                processors: count.max(1),
                first_lane: lanes.first().copied().unwrap_or(Lane::Any),
                guaranteed: Condvar::new(),
                spare: Condvar::new(),
                run: Box::new(run),
                epoch: Instant::now(),
            }),
        };
        for (lane, number) in
            lanes.iter().flat_map(|lane| (0..count.max(1)).map(move |n| (*lane, n)))
        {
            let inner = Arc::clone(&executor.inner);
            let name = if lane == Lane::Spare { "spare" } else { "inference" };
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                if lane == Lane::Spare {
                    processor::give_way();
                }
                inner.work(lane);
            })?;
        }
        Ok(executor)
    }

    /// Runs a request and waits for its answer. One whose caller goes away before it begins is not
    /// run.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn run(&self, request: Request<K, I>) -> Result<Executed<A>, ExecuteError> {
        let (told, answered) = oneshot::channel();
        let Request { tenant, kind, rows, bytes, join, deadline, payload } = request;
        let payload = Job { input: payload, told };
        let request = Request { tenant, kind, rows, bytes, join, deadline, payload };
        let (ticket, brief) = self.inner.submit(request)?;
        match brief {
            Some(batch) => self.inner.execute(batch),
            None => self.inner.wake_one(),
        }
        let mut waiting = Leaving { inner: &self.inner, ticket: Some(ticket) };
        let answer = answered.await.unwrap_or(Err(ExecuteError::Panicked));
        waiting.ticket = None;
        answer
    }

    /// Why the next request of `tenant` would be refused, where it would: asked before anything is
    /// done for it.
    pub fn refuses(&self, tenant: &TenantId) -> Option<Refused> {
        self.inner.lock().queue.refuses(tenant)
    }

    /// An instant as the queue counts time.
    pub fn time(&self, at: Instant) -> Time {
        at.saturating_duration_since(self.inner.epoch)
    }

    /// Gives tenants other shares, from now on, and forgets the others once they are quiet.
    pub fn set_shares<'a>(&self, shares: impl IntoIterator<Item = (&'a TenantId, Share)>) {
        let now = self.inner.now();
        let mut state = self.inner.lock();
        let mut known = std::collections::HashSet::new();
        for (tenant, share) in shares {
            state.queue.set_share(now, tenant, share);
            known.insert(tenant);
        }
        state.queue.retain_tenants(|tenant| known.contains(tenant));
        drop(state);
        self.inner.wake_all();
    }

    /// How many requests wait for a thread now.
    pub fn waiting(&self) -> usize {
        self.inner.lock().queue.waiting()
    }

    /// How much memory they hold.
    pub fn waiting_bytes(&self) -> u64 {
        self.inner.lock().queue.waiting_bytes()
    }

    /// How many executions run now.
    pub fn running(&self) -> usize {
        self.inner.lock().queue.running()
    }
}

impl<K, I, A> Drop for Executor<K, I, A> {
    fn drop(&mut self) {
        self.inner.lock().stopped = true;
        self.inner.wake_all();
    }
}

impl<K, I, A> Inner<K, I, A> {
    fn wake_all(&self) {
        self.guaranteed.notify_all();
        self.spare.notify_all();
    }

    /// Executions run outside the lock, and nothing under it panics half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State<K, I, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        self.epoch.elapsed()
    }
}

impl<K: Clone + Eq + std::hash::Hash, I, A> Inner<K, I, A> {
    /// Lets a request in; with it, where it is brief and may run at once, what the caller is to run.
    fn submit(&self, request: Request<K, Job<I, A>>) -> Result<Submitted<I, A>, ExecuteError> {
        let mut state = self.lock();
        let (now, queue) = (self.now(), &mut state.queue);
        let known = queue.known_cost(&request.kind, request.rows);
        let submitted = queue.submit(now, request);
        let is_alone = queue.waiting() == 1 && queue.running() < self.processors;
        let brief = match known {
            Some(cost) if cost <= BRIEF && submitted.is_ok() && is_alone => {
                match queue.next(now, self.first_lane) {
                    Next::Run(batch) => Some(batch),
                    _ => None,
                }
            }
            _ => None,
        };
        let refused = queue.take_refused();
        drop(state);
        tell(refused);
        let ticket = submitted.map_err(|(_, refused)| refused)?;
        Ok((ticket, brief))
    }

    /// Whether it is for the one lane or the other, the queue says when it is asked.
    fn wake_one(&self) {
        self.guaranteed.notify_one();
        self.spare.notify_one();
    }

    fn work(&self, lane: Lane) {
        while let Some(batch) = self.next(lane) {
            self.execute(batch);
        }
    }

    fn next(&self, lane: Lane) -> Option<Batch<Job<I, A>>> {
        let changed = if lane == Lane::Spare { &self.spare } else { &self.guaranteed };
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let now = self.now();
            let next = state.queue.next(now, lane);
            let refused = state.queue.take_refused();
            if !refused.is_empty() {
                drop(state);
                tell(refused);
                state = self.lock();
            }
            state = match next {
                Next::Run(batch) => {
                    let is_more = state.queue.waiting() > 0;
                    drop(state);
                    if is_more {
                        // What was charged for this one may have sent the rest to the other lane.
                        self.wake_one();
                    }
                    return Some(batch);
                }
                Next::NotBefore(at) => {
                    let left = at.saturating_sub(now).max(Duration::from_micros(50));
                    changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                Next::Nothing => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn execute(&self, batch: Batch<Job<I, A>>) {
        let (requests, rows) = (batch.members.len(), batch.members.iter().map(|it| it.rows).sum());
        let mut told = Vec::with_capacity(requests);
        let mut inputs = Vec::with_capacity(requests);
        for member in batch.members {
            told.push((member.payload.told, member.waited, member.rows));
            inputs.push(member.payload.input);
        }
        let before = processor::time();
        let answers = catch_unwind(AssertUnwindSafe(|| (self.run)(inputs)));
        let took = processor::time().saturating_sub(before);
        let mut state = self.lock();
        state.queue.finish(batch.id, took);
        let is_waited_for = state.queue.waiting() > 0;
        drop(state);
        if is_waited_for {
            self.wake_one();
        }
        // Whoever wakes up may want this processor, so that nothing is held by now.
        let mut answers = answers.unwrap_or_default().into_iter();
        for (told, waited, part) in told {
            let executed = answers.next().ok_or(ExecuteError::Panicked).map(|answer| {
                let cost = took.mul_f64(part as f64 / (rows as f64).max(1.0));
                Executed { answer, waited, cost, requests, rows }
            });
            // A caller that went away meanwhile wants no answer.
            let _ = told.send(executed);
        }
    }
}

fn tell<I, A>(refused: Vec<(Job<I, A>, Refused)>) {
    for (job, refused) in refused {
        let _ = job.told.send(Err(refused.into()));
    }
}

/// Takes the request back where its caller goes away.
struct Leaving<'a, K: Clone + Eq + std::hash::Hash, I, A> {
    inner: &'a Inner<K, I, A>,
    ticket: Option<Ticket>,
}

impl<K: Clone + Eq + std::hash::Hash, I, A> Drop for Leaving<'_, K, I, A> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let job = self.inner.lock().queue.cancel(ticket);
            drop(job);
        }
    }
}
