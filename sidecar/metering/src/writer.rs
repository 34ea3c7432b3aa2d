//! The one thread that writes: it takes what is queued, writes it at once, syncs once, and only
//! then wakes those who wait (group commit).
//!
//! After a failed write or sync nothing is known about the bytes of that batch: Linux marks
//! pages clean whose write-back failed, so that a second sync would succeed without them. The
//! segment is therefore given up behind its last durable byte, and the log goes on in a new one
//! whose header says so. Numbers given to a failed batch are never used again.

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    append::AppendError,
    disk::{Disk, SegmentFile},
    frame::{self, HEADER_BYTES, Header},
    segment::{self, Segment},
    state::Shared,
};

/// An event that waits to be written.
pub(crate) struct Pending {
    /// Its JSON.
    pub event: Vec<u8>,
    pub done: oneshot::Sender<Result<(), AppendError>>,
}

/// How the writer cuts its work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub segment_bytes: u64,
    pub batch_bytes: usize,
    pub retry_after: Duration,
}

struct Active {
    first: u64,
    file: Box<dyn SegmentFile>,
    bytes: u64,
}

enum Output {
    Open(Active),
    /// No segment can be written: `reason` is what appends are told until a new one is made.
    Refusing {
        reason: Arc<str>,
        retry_at: Instant,
    },
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    disk: Box<dyn Disk>,
    limits: Limits,
    /// The number of the next event.
    next: u64,
    /// The number after the last durable event.
    durable: u64,
    output: Output,
}

impl Writer {
    /// Starts behind the recovered events. A full disk does not stop a start: what is in the log
    /// can still be shipped, which frees space.
    pub(crate) fn new(shared: Arc<Shared>, disk: Box<dyn Disk>, limits: Limits, next: u64) -> Self {
        let output = Output::Refusing { reason: "not started".into(), retry_at: Instant::now() };
        let mut writer = Self { shared, disk, limits, next, durable: next, output };
        writer.reopen();
        writer
    }

    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self, queue: &Receiver<Pending>) {
        loop {
            match &self.output {
                Output::Open(_) => {
                    let Ok(first) = queue.recv() else { return };
                    let batch = self.gather(first, queue);
                    self.commit(batch);
                }
                // Asked first, because a queue that never runs dry would never time out.
                Output::Refusing { retry_at, .. } if Instant::now() >= *retry_at => self.reopen(),
                Output::Refusing { reason, retry_at } => {
                    let wait = retry_at.saturating_duration_since(Instant::now());
                    match queue.recv_timeout(wait) {
                        Ok(pending) => {
                            let detail = Arc::clone(reason);
                            self.refuse(pending, detail);
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            }
        }
    }

    fn gather(&self, first: Pending, queue: &Receiver<Pending>) -> Vec<Pending> {
        let mut bytes = first.event.len();
        let mut batch = vec![first];
        while bytes < self.limits.batch_bytes
            && let Ok(pending) = queue.try_recv()
        {
            bytes += pending.event.len();
            batch.push(pending);
        }
        batch
    }

    fn commit(&mut self, batch: Vec<Pending>) {
        let Output::Open(active) = &mut self.output else { return };
        let mut bytes = Vec::with_capacity(self.limits.batch_bytes.min(64 * 1024));
        for pending in &batch {
            frame::encode(&mut bytes, self.next, &pending.event);
            self.next += 1;
        }
        match active.file.append(&bytes).and_then(|()| active.file.sync()) {
            Ok(()) => {
                active.bytes += bytes.len() as u64;
                self.durable = self.next;
                let (first, total) = (active.first, active.bytes);
                self.publish(first, total, batch.len() as u64, bytes.len() as u64);
                for pending in batch {
                    // Whoever went away was not waiting for the answer any more.
                    let _ = pending.done.send(Ok(()));
                }
                if total >= self.limits.segment_bytes {
                    // Never on in this one where that fails: what a failed attempt leaves on the
                    // disk may say that the log went on without it.
                    self.reopen();
                }
            }
            Err(error) => self.fail(batch, &error),
        }
    }

    fn publish(&self, first: u64, total: u64, events: u64, bytes: u64) {
        let mut state = self.shared.state();
        let segment = Segment { durable_bytes: total, end: self.durable };
        state.segments.insert(first, segment);
        state.stats.appended += events;
        state.stats.batches += 1;
        state.stats.backlog_events += events;
        state.stats.backlog_bytes += bytes;
        drop(state);
        self.shared.announce();
    }

    /// Gives the segment up and answers the batch. The answer comes after the new segment's
    /// header is durable, because only then is it sure that a restart does not find the events
    /// of answers that were withheld.
    fn fail(&mut self, batch: Vec<Pending>, error: &io::Error) {
        let count = batch.len();
        let detail: Arc<str> = error.to_string().into();
        tracing::error!(
            directory = %self.shared.directory.display(), %error, events = count,
            "expected to make usage events durable, failed: their answers are withheld, going on \
             in a new segment"
        );
        if let Output::Open(active) = &mut self.output
            && let Err(error) = active.file.truncate(active.bytes).and_then(|()| active.file.sync())
        {
            tracing::warn!(%error, "could not cut off a failed batch: the next segment voids it");
        }
        {
            let mut state = self.shared.state();
            state.stats.failed += count as u64;
            state.stats.last_error = Some(error.to_string());
        }
        self.output = Output::Refusing { reason: Arc::clone(&detail), retry_at: Instant::now() };
        self.reopen();
        for pending in batch {
            let _ = pending.done.send(Err(AppendError::Unwritable { detail: Arc::clone(&detail) }));
        }
    }

    fn refuse(&self, pending: Pending, detail: Arc<str>) {
        self.shared.state().stats.refused += 1;
        let _ = pending.done.send(Err(AppendError::Unwritable { detail }));
    }

    /// Tries to go on in a new segment; else refuses until the next try.
    fn reopen(&mut self) {
        match self.create() {
            Ok(active) => {
                self.output = Output::Open(active);
                self.shared.state().stats.refusing = None;
            }
            Err(error) => {
                let reason: Arc<str> = error.to_string().into();
                tracing::error!(
                    directory = %self.shared.directory.display(), %error,
                    "expected to make a segment of the usage log, failed: refusing predictions \
                     until it can be made"
                );
                {
                    let mut state = self.shared.state();
                    state.stats.refusing = Some(error.to_string());
                    state.stats.last_error = Some(error.to_string());
                }
                let retry_at = Instant::now() + self.limits.retry_after;
                self.output = Output::Refusing { reason, retry_at };
            }
        }
    }

    /// Makes a segment with a durable header and a durable name.
    fn create(&mut self) -> io::Result<Active> {
        let first = self.next;
        let path: PathBuf = segment::path(&self.shared.directory, first);
        let header = Header { first, continues_from: self.durable };
        // Whatever this attempt leaves behind, the next one takes another name.
        self.next += 1;
        let mut file = self.disk.create(&path)?;
        file.append(&header.encode())
            .and_then(|()| file.sync())
            .and_then(|()| self.disk.sync_directory(&self.shared.directory))
            .inspect_err(|_| {
                let _ = fs::remove_file(&path);
            })?;
        self.next = first;
        let bytes = HEADER_BYTES as u64;
        let segment = Segment { durable_bytes: bytes, end: self.durable };
        self.shared.state().segments.insert(first, segment);
        Ok(Active { first, file, bytes })
    }
}
