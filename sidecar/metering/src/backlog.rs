//! The unshipped end of the log: reads durable events in order, moves the durable cursor, and
//! deletes segments that were shipped.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    sync::Arc,
};

use crate::{
    cursor, dead_letter,
    event::UsageEvent,
    frame::{HEADER_BYTES, MAX_FRAME_BYTES},
    scan::{Found, Scanner},
    segment,
    state::Shared,
};

/// The one handle from which a log's events can be shipped.
#[derive(Debug)]
pub struct Backlog {
    pub(crate) shared: Arc<Shared>,
    /// The number of the first event that is not acknowledged.
    cursor: u64,
    position: Option<Position>,
}

/// Where the next event is read.
#[derive(Debug, Clone, Copy)]
struct Position {
    /// The segment, by its first event.
    first: u64,
    offset: u64,
    expected: u64,
}

impl Position {
    fn start_of(first: u64) -> Self {
        Self { first, offset: HEADER_BYTES as u64, expected: first }
    }
}

/// How much one batch holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub events: usize,
    /// In the log; one event may go beyond.
    pub bytes: u64,
}

/// Events that follow the cursor.
#[derive(Debug)]
pub(crate) struct Batch {
    pub events: Vec<UsageEvent>,
    /// Whether a limit ended it, so that more is waiting.
    pub full: bool,
    after: Position,
    cursor: u64,
    bytes: u64,
}

impl Batch {
    fn reaches(&self, limits: BatchLimits) -> bool {
        self.events.len() >= limits.events || self.bytes >= limits.bytes
    }
}

impl Backlog {
    pub(crate) fn new(shared: Arc<Shared>, cursor: u64) -> Self {
        Self { shared, cursor, position: None }
    }

    /// The next events, across segments; `None` where none waits. Reading does not move the
    /// cursor: until [`Backlog::commit`] the same events come again.
    pub(crate) fn next(&mut self, limits: BatchLimits) -> io::Result<Option<Batch>> {
        let Some(after) = self.position.or_else(|| self.locate()) else { return Ok(None) };
        let mut batch =
            Batch { events: Vec::new(), full: false, after, cursor: self.cursor, bytes: 0 };
        loop {
            let (durable, successor) = self.extent(batch.after.first);
            let remaining = durable.saturating_sub(batch.after.offset);
            if remaining == 0 {
                let Some(first) = successor else { break };
                batch.after = Position::start_of(first);
                continue;
            }
            if batch.reaches(limits) {
                batch.full = true;
                break;
            }
            let room = limits.bytes.saturating_sub(batch.bytes).max(MAX_FRAME_BYTES as u64);
            let chunk = remaining.min(room);
            if !self.read(&mut batch, chunk, chunk == remaining, limits)? {
                // Damage: only the whole rest of the segment tells where it ends.
                self.read(&mut batch, remaining, true, limits)?;
            }
        }
        let Some(oldest) = batch.events.first().map(|event| event.timestamp) else {
            self.position = Some(batch.after);
            self.caught_up(batch.after);
            return Ok(None);
        };
        self.shared.state().stats.oldest_unshipped = Some(oldest);
        Ok(Some(batch))
    }

    /// Moves the cursor behind a batch that was acknowledged, durably, and deletes the segments
    /// before it.
    pub(crate) fn commit(&mut self, batch: &Batch) -> io::Result<()> {
        let directory = &self.shared.directory;
        let reading = batch.after.first;
        if cursor::store(directory, batch.cursor).is_err() {
            // A full disk has no room even for the cursor. These segments were acknowledged.
            self.release(reading);
            cursor::store(directory, batch.cursor)?;
        }
        self.release(reading);
        self.cursor = batch.cursor;
        self.position = Some(batch.after);
        let stats = &mut self.shared.state().stats;
        let events = batch.events.len() as u64;
        stats.shipped += events;
        stats.backlog_events = stats.backlog_events.saturating_sub(events);
        stats.backlog_bytes = stats.backlog_bytes.saturating_sub(batch.bytes);
        if stats.backlog_events == 0 {
            stats.oldest_unshipped = None;
        }
        Ok(())
    }

    /// Keeps an event that the receiver refuses, durably. It is passed by the next commit.
    pub(crate) fn set_aside(
        &self,
        event: &UsageEvent,
        status: u16,
        detail: &str,
    ) -> io::Result<()> {
        dead_letter::append(&self.shared.directory, event, status, detail)?;
        self.shared.state().stats.dead_lettered += 1;
        Ok(())
    }

    fn locate(&self) -> Option<Position> {
        let state = self.shared.state();
        let before = state.segments.range(..=self.cursor).next_back();
        let (first, _) = before.or_else(|| state.segments.first_key_value())?;
        Some(Position::start_of(*first))
    }

    /// Nothing waits, so the counts must say so, also where damage took events out of the log.
    fn caught_up(&self, position: Position) {
        let mut state = self.shared.state();
        let last = state.segments.last_key_value();
        if last.is_some_and(|(first, segment)| {
            *first == position.first && segment.durable_bytes == position.offset
        }) {
            state.stats.backlog_events = 0;
            state.stats.backlog_bytes = 0;
            state.stats.oldest_unshipped = None;
        }
    }

    /// How many bytes of a segment are durable, and which one follows it.
    fn extent(&self, first: u64) -> (u64, Option<u64>) {
        let state = self.shared.state();
        let durable = state.segments.get(&first).map_or(0, |segment| segment.durable_bytes);
        let successor = state.segments.range(first.saturating_add(1)..).next();
        (durable, successor.map(|(first, _)| *first))
    }

    /// Adds to `batch` from the next `length` bytes of its segment. Says whether it got any
    /// further: damage that goes beyond those bytes stops it, unless they are the `whole` rest.
    fn read(
        &self,
        batch: &mut Batch,
        length: u64,
        whole: bool,
        limits: BatchLimits,
    ) -> io::Result<bool> {
        let start = batch.after;
        let path = segment::path(&self.shared.directory, start.first);
        // Never more than a segment, which was read whole when the log was opened.
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        File::open(&path)?.read_exact_at(&mut bytes, start.offset)?;
        let mut scanner = Scanner::new(&bytes, 0, start.expected, u64::MAX);
        while !batch.reaches(limits)
            && let Some(found) = scanner.next()
        {
            match found {
                Found::Event { sequence, event, size } => {
                    if sequence >= self.cursor {
                        batch.events.push(*event);
                        batch.bytes += size as u64;
                        batch.cursor = sequence.saturating_add(1);
                    }
                }
                Found::Damage { .. } if !whole => break,
                Found::Damage { range, .. } => {
                    let offset = start.offset + range.start as u64;
                    self.keep(start.first, offset, bytes.get(range).unwrap_or_default())?;
                }
            }
            batch.after.offset = start.offset + scanner.offset() as u64;
            batch.after.expected = scanner.expected();
        }
        Ok(batch.after.offset > start.offset)
    }

    fn keep(&self, first: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (kept_in, is_new) = segment::quarantine(&self.shared.directory, first, offset, bytes)?;
        if !is_new {
            return Ok(());
        }
        tracing::error!(
            segment = segment::file_name(first), offset, bytes = bytes.len(),
            kept_in = %kept_in.display(),
            "expected a usage event to ship, found damaged bytes: going on after them"
        );
        let stats = &mut self.shared.state().stats;
        stats.corrupt_bytes += bytes.len() as u64;
        stats.last_error = Some(format!(
            "expected a usage event at byte {offset} of {}, found damage, kept in {}",
            segment::file_name(first),
            kept_in.display()
        ));
        Ok(())
    }

    /// Deletes the segments before the one that is read next. One that cannot be deleted now is
    /// deleted by the next start.
    fn release(&self, reading: u64) {
        let shipped: Vec<u64> = {
            let mut state = self.shared.state();
            let kept = state.segments.split_off(&reading);
            std::mem::replace(&mut state.segments, kept).into_keys().collect()
        };
        for first in shipped {
            let path = segment::path(&self.shared.directory, first);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, segment = %path.display(), "could not delete a shipped segment");
            }
        }
    }
}
