//! Ships the backlog: in order, at least once, for as long as it takes.
//!
//! A receiver that refuses a batch for what is in it would block every event behind it for
//! ever, and dropping the batch would lose what was served. So a refused batch is halved until
//! the refused events stand alone, and those go to the dead-letter file beside the log. They do
//! so only when the receiver took another event of the same batch: a receiver that refuses
//! everything is broken or of another version, and then everything waits.

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task;

use crate::{
    backlog::{Backlog, Batch, BatchLimits},
    event::UsageEvent,
    frame::MAX_FRAME_BYTES,
    sink::{ShipError, Sink},
    state::Shared,
};

/// How events are shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipperOptions {
    /// How many events one request carries at most.
    pub batch_events: usize,
    /// How many bytes of the log one request carries at most, about.
    pub batch_bytes: u64,
    /// How long to let events gather once there are less than a batch: each batch costs the
    /// receiver a transaction and this disk two syncs.
    pub linger: Duration,
    /// The pause after a first failure. It doubles with each further one.
    pub first_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
}

impl Default for ShipperOptions {
    /// 1000 events or 512 KiB, gathered for 250 ms; pauses from 100 ms to 30 s.
    fn default() -> Self {
        Self {
            batch_events: 1000,
            batch_bytes: 512 << 10,
            linger: Duration::from_millis(250),
            first_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(30),
        }
    }
}

impl ShipperOptions {
    /// How long to wait after as many failures in a row before this one. `jitter` is from 0
    /// to 1; `asked` is what the receiver wants.
    fn pause(&self, failures: u32, jitter: f64, asked: Option<Duration>) -> Duration {
        let doubled = self.first_backoff.saturating_mul(1 << failures.min(20));
        // Half of it at random, so that nodes that lost one receiver do not return as one.
        let share = 0.5 + jitter.clamp(0.0, 1.0) / 2.0;
        let pause = doubled.min(self.max_backoff).mul_f64(share);
        pause.max(asked.unwrap_or_default().min(self.max_backoff))
    }
}

/// Ships one log to one receiver. Time is tokio's, so a test may pause it.
pub struct Shipper<S> {
    backlog: Arc<Mutex<Backlog>>,
    shared: Arc<Shared>,
    sink: S,
    options: ShipperOptions,
    jitter: Box<dyn FnMut() -> f64 + Send>,
    failures: u32,
}

impl<S: fmt::Debug> fmt::Debug for Shipper<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipper").field("sink", &self.sink).field("options", &self.options).finish()
    }
}

/// What became of the events of a batch.
#[derive(Debug, Default)]
struct Settled {
    accepted: usize,
    /// Refused when sent alone: the index, the status and what the receiver said.
    refused: Vec<(usize, u16, String)>,
}

impl<S: Sink> Shipper<S> {
    /// A shipper of what `backlog` holds.
    pub fn new(backlog: Backlog, sink: S, options: ShipperOptions) -> Self {
        let shared = Arc::clone(&backlog.shared);
        let backlog = Arc::new(Mutex::new(backlog));
        Self { backlog, shared, sink, options, jitter: Box::new(rand::random), failures: 0 }
    }

    /// Takes the randomness of pauses from `jitter`, which returns values from 0 to 1.
    #[must_use]
    pub fn with_jitter(self, jitter: impl FnMut() -> f64 + Send + 'static) -> Self {
        Self { jitter: Box::new(jitter), ..self }
    }

    /// Ships until `shutdown` is ready. What has not been acknowledged by then is shipped by the
    /// next run. It can be called again.
    pub async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.ship_for_ever() => {}
        }
    }

    /// Ships until nothing waits; for ever where the receiver does not come back, so callers
    /// set a limit. It can be cancelled.
    pub async fn drain(&mut self) {
        while self.ship_batch().await.is_some() {}
    }

    async fn ship_for_ever(&mut self) {
        let mut durable = self.shared.watch();
        loop {
            durable.borrow_and_update();
            match self.ship_batch().await {
                Some(full) if full => {}
                Some(_) => tokio::time::sleep(self.options.linger).await,
                // The sender lives as long as `self.shared`.
                None => drop(durable.changed().await),
            }
        }
    }

    /// Ships one batch, however often that takes. Says whether more is waiting; `None` where
    /// there was nothing.
    async fn ship_batch(&mut self) -> Option<bool> {
        loop {
            let batch = self.read().await?;
            let settled = self.settle(&batch.events).await;
            if settled.accepted == 0 {
                let (status, detail) = match settled.refused.into_iter().next() {
                    Some((_, status, detail)) => (status, detail),
                    None => return Some(batch.full),
                };
                self.pause(&ShipError::Refused { status, detail }, None).await;
                // Read again: with events that came since, it may show which one is refused.
                continue;
            }
            let full = batch.full;
            self.finish(batch, settled.refused).await;
            return Some(full);
        }
    }

    async fn read(&mut self) -> Option<Batch> {
        // A refused event is told from a broken receiver by its neighbours, so never one alone.
        let limits = BatchLimits {
            events: self.options.batch_events.max(2),
            bytes: self.options.batch_bytes.max(2 * MAX_FRAME_BYTES as u64),
        };
        loop {
            match self.on_disk(move |backlog| backlog.next(limits)).await {
                Ok(batch) => return batch,
                Err(error) => self.pause(&error, None).await,
            }
        }
    }

    /// Sends events until each has been accepted, or refused alone, in order.
    async fn settle(&mut self, events: &[UsageEvent]) -> Settled {
        let mut settled = Settled::default();
        let all = 0..events.len();
        let mut waiting = vec![all];
        while let Some(range) = waiting.pop() {
            let Some(part) = events.get(range.clone()).filter(|part| !part.is_empty()) else {
                continue;
            };
            match self.sink.ship(part).await {
                Ok(()) => {
                    self.failures = 0;
                    settled.accepted += part.len();
                }
                Err(ShipError::Refused { status, detail }) if part.len() == 1 => {
                    settled.refused.push((range.start, status, detail));
                }
                Err(ShipError::Refused { .. }) => {
                    let middle = range.start + part.len() / 2;
                    waiting.push(middle..range.end);
                    waiting.push(range.start..middle);
                }
                Err(ref error @ ShipError::Unavailable { retry_after, .. }) => {
                    self.pause(error, retry_after).await;
                    waiting.push(range);
                }
            }
        }
        settled
    }

    /// Keeps what was refused and moves the cursor, however often that takes.
    async fn finish(&mut self, batch: Batch, refused: Vec<(usize, u16, String)>) {
        let batch = Arc::new(batch);
        for (index, status, detail) in refused {
            let kept = Arc::clone(&batch);
            let detail: Arc<str> = detail.into();
            if let Some(event) = batch.events.get(index) {
                tracing::error!(
                    event = %event.id, tenant = %event.tenant, status, %detail,
                    "the receiver refuses a usage event and takes others: kept in the \
                     dead-letter file"
                );
            }
            loop {
                let (kept, detail) = (Arc::clone(&kept), Arc::clone(&detail));
                let keep = move |backlog: &mut Backlog| match kept.events.get(index) {
                    Some(event) => backlog.set_aside(event, status, &detail),
                    None => Ok(()),
                };
                match self.on_disk(keep).await {
                    Ok(()) => break,
                    Err(error) => self.pause(&error, None).await,
                }
            }
        }
        loop {
            let batch = Arc::clone(&batch);
            match self.on_disk(move |backlog| backlog.commit(&batch)).await {
                Ok(()) => return,
                Err(error) => self.pause(&error, None).await,
            }
        }
    }

    /// Runs file work where it may block.
    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Backlog) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let backlog = Arc::clone(&self.backlog);
        let locked = move || work(&mut backlog.lock().unwrap_or_else(PoisonError::into_inner));
        task::spawn_blocking(locked).await.map_err(io::Error::other)?
    }

    async fn pause(&mut self, error: &(impl fmt::Display + ?Sized), at_least: Option<Duration>) {
        let pause = self.options.pause(self.failures, (self.jitter)(), at_least);
        self.failures = self.failures.saturating_add(1);
        let backlog_events = {
            let stats = &mut self.shared.state().stats;
            stats.ship_failures += 1;
            stats.last_error = Some(error.to_string());
            stats.backlog_events
        };
        tracing::warn!(%error, ?pause, failures = self.failures, backlog_events,
            "could not ship usage events: retrying");
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread_by_half() {
        let options = ShipperOptions::default();
        let millis = |failures, jitter| options.pause(failures, jitter, None).as_millis();
        assert_eq!([millis(0, 1.0), millis(1, 1.0), millis(3, 1.0)], [100, 200, 800]);
        assert_eq!([millis(0, 0.0), millis(3, 0.5)], [50, 600]);
        assert_eq!([millis(40, 1.0), millis(u32::MAX, 7.0)], [30_000, 30_000]);
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it_within_the_longest_pause() {
        let options = ShipperOptions::default();
        let asked = |seconds| options.pause(0, 1.0, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!([asked(7), asked(86_400)], [7, 30]);
    }
}
