//! The log as the server sees it: an append returns once the event is durable.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    backlog::Backlog,
    disk::{Disk, RealDisk},
    event::UsageEvent,
    frame::{MAX_EVENT_BYTES, frame_bytes},
    recovery::{self, OpenError, Recovery},
    state::{MeterStats, Shared, State},
    writer::{Limits, Pending, Writer},
};

/// Where a log lives and how much it may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// The directory, made where there is none. It belongs to one log alone.
    pub directory: PathBuf,
    /// How large a segment grows before the next one is made, in bytes. Disk space comes back
    /// one segment at a time.
    pub segment_bytes: u64,
    /// How many events may wait for the disk. More are refused, so that a slow disk costs
    /// answers and not memory.
    pub queue_events: usize,
    /// How many bytes of events one write and one sync take together.
    pub batch_bytes: usize,
    /// How many bytes of events may wait to be shipped. More are refused, so that a receiver
    /// that is gone for days does not fill the node's disk.
    pub backlog_bytes: u64,
    /// How long to wait before a segment is tried again after the disk failed.
    pub retry_after: Duration,
}

impl LogOptions {
    /// Segments of 8 MiB, 4096 events queued, 1 MiB a sync, 4 GiB (some ten million events) of
    /// backlog, half a second between attempts.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 8 << 20,
            queue_events: 4096,
            batch_bytes: 1 << 20,
            backlog_bytes: 4 << 30,
            retry_after: Duration::from_millis(500),
        }
    }
}

/// Why an event is not durable. The answer that it meters must not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The disk does not keep up.
    #[error("expected room for one more usage event, found {capacity} waiting: retry later")]
    QueueFull {
        /// How many may wait.
        capacity: usize,
    },
    /// The receiver does not keep up, or is not there.
    #[error(
        "expected at most {limit} bytes of unshipped usage events, found {bytes}: bring the \
         receiver back"
    )]
    BacklogFull {
        /// How many bytes wait.
        bytes: u64,
        /// How many may.
        limit: u64,
    },
    /// The event is larger than any that the names in it allow.
    #[error("expected a usage event of at most {limit} bytes, found {bytes}")]
    TooLarge {
        /// Its size in JSON.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// The disk failed. The log takes events again once a new segment can be made.
    #[error("could not make the usage event durable: {detail}")]
    Unwritable {
        /// What the system said.
        detail: Arc<str>,
    },
    /// The writer has ended.
    #[error("expected a running usage log, found it stopped: restart the process")]
    Stopped,
}

/// A log that was opened, the one place to ship it from, and what was found on the disk.
#[derive(Debug)]
pub struct OpenedLog {
    /// For those who append.
    pub log: WriteAheadLog,
    /// For the [`Shipper`](crate::Shipper). There is one, because there is one cursor.
    pub backlog: Backlog,
    /// What the last run left.
    pub recovery: Recovery,
}

/// The append side of a log. Clones share it; the last one to go waits for what is queued.
#[derive(Clone)]
pub struct WriteAheadLog {
    inner: Arc<Inner>,
}

impl fmt::Debug for WriteAheadLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteAheadLog").field("directory", &self.directory()).finish()
    }
}

struct Inner {
    shared: Arc<Shared>,
    queue: Option<SyncSender<Pending>>,
    writer: Option<JoinHandle<()>>,
    queue_events: usize,
    backlog_bytes: u64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer ends when its queue does.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl WriteAheadLog {
    /// Locks the directory, reads what the last run left, and starts the writer. It reads the
    /// disk: call it before serving, or from a blocking thread.
    ///
    /// # Errors
    /// When the directory cannot be read, is locked, or was written by a newer program. Damaged
    /// bytes are no error: they are logged, kept, and told in [`Recovery`].
    pub fn open(options: LogOptions) -> Result<OpenedLog, OpenError> {
        Self::open_on(Box::new(RealDisk), options)
    }

    pub(crate) fn open_on(
        disk: Box<dyn Disk>,
        options: LogOptions,
    ) -> Result<OpenedLog, OpenError> {
        let LogOptions { directory, queue_events, backlog_bytes, .. } = options;
        let lock = recovery::lock(&directory)?;
        let found = recovery::recover(&directory)?;
        let stats = MeterStats {
            backlog_events: found.report.events,
            backlog_bytes: found.backlog_bytes,
            corrupt_bytes: found.report.damages.iter().map(|damage| damage.bytes).sum(),
            ..MeterStats::default()
        };
        let state = State { segments: found.segments, stats };
        let shared = Arc::new(Shared::new(directory.clone(), lock, state));
        let limits = Limits {
            segment_bytes: options.segment_bytes,
            batch_bytes: options.batch_bytes,
            retry_after: options.retry_after,
        };
        let (queue, events) = sync_channel(queue_events);
        let writer = Writer::new(Arc::clone(&shared), disk, limits, found.next);
        let writer = thread::Builder::new()
            .name("usage-log".to_owned())
            .spawn(move || writer.run(&events))
            .map_err(|source| OpenError::Io {
                action: "start the writer of",
                path: directory,
                source,
            })?;
        let backlog = Backlog::new(Arc::clone(&shared), found.cursor);
        let inner =
            Inner { shared, queue: Some(queue), writer: Some(writer), queue_events, backlog_bytes };
        Ok(OpenedLog { log: Self { inner: Arc::new(inner) }, backlog, recovery: found.report })
    }

    /// Makes an event durable: when this returns `Ok`, the event survives the loss of the
    /// process and of power, and will be shipped.
    ///
    /// Dropping the future does not take the event back: it may have been written already, and
    /// the work that it meters was done.
    ///
    /// # Errors
    /// When the event is not known to be durable. Every kind but [`AppendError::TooLarge`] may
    /// pass by itself. The event of a failed append is not shipped later, except where the disk
    /// refuses to take it back and the process dies before the disk works again.
    pub async fn append(&self, event: &UsageEvent) -> Result<(), AppendError> {
        let waiting = self.enqueue(event).inspect_err(|_| {
            self.inner.shared.state().stats.refused += 1;
        })?;
        waiting.await.unwrap_or(Err(AppendError::Stopped))
    }

    fn enqueue(
        &self,
        event: &UsageEvent,
    ) -> Result<oneshot::Receiver<Result<(), AppendError>>, AppendError> {
        // Encoded here, so that the callers' threads share that work and the writer only writes.
        let event = serde_json::to_vec(event)
            .map_err(|error| AppendError::Unwritable { detail: error.to_string().into() })?;
        if event.len() > MAX_EVENT_BYTES {
            return Err(AppendError::TooLarge { bytes: event.len(), limit: MAX_EVENT_BYTES });
        }
        let (bytes, limit) =
            (self.inner.shared.state().stats.backlog_bytes, self.inner.backlog_bytes);
        if bytes + frame_bytes(event.len()) as u64 > limit {
            return Err(AppendError::BacklogFull { bytes, limit });
        }
        let (done, waiting) = oneshot::channel();
        let queue = self.inner.queue.as_ref().ok_or(AppendError::Stopped)?;
        match queue.try_send(Pending { event, done }) {
            Ok(()) => Ok(waiting),
            Err(TrySendError::Full(_)) => {
                Err(AppendError::QueueFull { capacity: self.inner.queue_events })
            }
            Err(TrySendError::Disconnected(_)) => Err(AppendError::Stopped),
        }
    }

    /// Counts for metrics and readiness.
    pub fn stats(&self) -> MeterStats {
        self.inner.shared.stats()
    }

    /// Where the log lives.
    pub fn directory(&self) -> &Path {
        &self.inner.shared.directory
    }
}
