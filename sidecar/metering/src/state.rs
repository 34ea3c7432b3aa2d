//! What the writer, the shipper and the server's metrics share about one log.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::segment::Segment;

/// Counts of one log since it was opened, and what stands in it now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeterStats {
    /// Events made durable.
    pub appended: u64,
    /// Batches synced: as many `fdatasync` calls made those events durable.
    pub batches: u64,
    /// Events refused before they were written: the queue or the backlog was full, the log was
    /// refusing, or the event was too large.
    pub refused: u64,
    /// Events whose batch could not be made durable.
    pub failed: u64,
    /// Durable events that the receiver has not acknowledged.
    pub backlog_events: u64,
    /// Their size in the log, in bytes.
    pub backlog_bytes: u64,
    /// When the oldest of them was served, in microseconds since 1970, as last read by the
    /// shipper; `None` where nothing waits.
    pub oldest_unshipped: Option<u64>,
    /// Segment files.
    pub segments: u64,
    /// Events that the receiver acknowledged.
    pub shipped: u64,
    /// Attempts to ship that failed.
    pub ship_failures: u64,
    /// Events that the receiver refuses, kept in the dead-letter file.
    pub dead_lettered: u64,
    /// Damaged bytes found in segments, kept in `.corrupt` files.
    pub corrupt_bytes: u64,
    /// Why the log refuses events now; `None` where it takes them.
    pub refusing: Option<String>,
    /// The last error of writing or shipping, whether or not it has been overcome.
    pub last_error: Option<String>,
}

/// The part that changes.
#[derive(Debug)]
pub(crate) struct State {
    /// By the number of the first event. The last one may be growing.
    pub segments: BTreeMap<u64, Segment>,
    pub stats: MeterStats,
}

/// The whole of it. The directory stays locked as long as anyone holds this.
#[derive(Debug)]
pub(crate) struct Shared {
    pub directory: PathBuf,
    _lock: File,
    state: Mutex<State>,
    /// Changes whenever an event became durable.
    durable: watch::Sender<()>,
}

impl Shared {
    pub(crate) fn new(directory: PathBuf, lock: File, state: State) -> Self {
        let durable = watch::Sender::new(());
        Self { directory, _lock: lock, state: Mutex::new(state), durable }
    }

    /// The state, for a moment: no file is touched while it is held.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a plain assignment, so a holder that died left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> MeterStats {
        let state = self.state();
        MeterStats { segments: state.segments.len() as u64, ..state.stats.clone() }
    }

    pub(crate) fn announce(&self) {
        self.durable.send_replace(());
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.durable.subscribe()
    }
}
