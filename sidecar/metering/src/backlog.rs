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

impl Backlog {
    pub(crate) fn new(shared: Arc<Shared>, cursor: u64) -> Self {
        Self { shared, cursor, position: None }
    }

    /// The next events, at most `max_events` and about `max_bytes`; `None` where none waits.
    /// Reading does not move the cursor: until [`Backlog::commit`] the same events come again.
    pub(crate) fn next(&mut self, max_events: usize, max_bytes: u64) -> io::Result<Option<Batch>> {
        loop {
            let Some(position) = self.position.or_else(|| self.locate()) else { return Ok(None) };
            let (durable, successor) = self.extent(position.first);
            let remaining = durable.saturating_sub(position.offset);
            if remaining == 0 {
                let Some(first) = successor else {
                    self.caught_up(position);
                    return Ok(None);
                };
                self.move_to(first);
                continue;
            }
            let chunk = remaining.min(max_bytes.max(MAX_FRAME_BYTES as u64));
            let batch = match self.read(position, chunk, chunk == remaining, max_events)? {
                Some(batch) => batch,
                // Damage: only the whole rest of the segment tells where it ends.
                None => match self.read(position, remaining, true, max_events)? {
                    Some(batch) => batch,
                    None => return Ok(None),
                },
            };
            if !batch.events.is_empty() {
                self.shared.state().stats.oldest_unshipped =
                    batch.events.first().map(|event| event.timestamp);
                return Ok(Some(batch));
            }
            self.position = Some(batch.after);
        }
    }

    /// Moves the cursor behind a batch that was acknowledged, durably, and deletes the segments
    /// before it.
    pub(crate) fn commit(&mut self, batch: &Batch) -> io::Result<()> {
        let (durable, successor) = self.extent(batch.after.first);
        let reading = match successor {
            Some(successor) if batch.after.offset >= durable => successor,
            _ => batch.after.first,
        };
        let directory = &self.shared.directory;
        if cursor::store(directory, batch.cursor).is_err() {
            // A full disk has no room even for the cursor. These segments were acknowledged.
            self.release(reading);
            cursor::store(directory, batch.cursor)?;
        }
        self.release(reading);
        self.cursor = batch.cursor;
        if reading == batch.after.first {
            self.position = Some(batch.after);
        } else {
            self.move_to(reading);
        }
        let stats = &mut self.shared.state().stats;
        let events = batch.events.len() as u64;
        stats.shipped += events;
        stats.backlog_events = stats.backlog_events.saturating_sub(events);
        stats.backlog_bytes = stats.backlog_bytes.saturating_sub(batch.bytes);
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

    fn locate(&mut self) -> Option<Position> {
        let first = {
            let state = self.shared.state();
            let before = state.segments.range(..=self.cursor).next_back();
            *before.or_else(|| state.segments.first_key_value())?.0
        };
        self.move_to(first);
        self.position
    }

    fn move_to(&mut self, first: u64) {
        self.position = Some(Position { first, offset: HEADER_BYTES as u64, expected: first });
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

    /// Reads one batch from `length` bytes at `position`; `None` where they hold damage that
    /// goes beyond them. `whole`: they are all that the segment holds.
    fn read(
        &self,
        position: Position,
        length: u64,
        whole: bool,
        max_events: usize,
    ) -> io::Result<Option<Batch>> {
        let path = segment::path(&self.shared.directory, position.first);
        // Never more than a segment, which was read whole when the log was opened.
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        File::open(&path)?.read_exact_at(&mut bytes, position.offset)?;
        let mut scanner = Scanner::new(&bytes, 0, position.expected, u64::MAX);
        let mut batch = Batch {
            events: Vec::new(),
            full: !whole,
            after: position,
            cursor: self.cursor,
            bytes: 0,
        };
        while let Some(found) = scanner.next() {
            match found {
                Found::Event { sequence, event, size } => {
                    if sequence >= self.cursor {
                        batch.events.push(*event);
                        batch.bytes += size as u64;
                        batch.cursor = sequence.saturating_add(1);
                    }
                }
                Found::Damage { .. } if !whole => {
                    let read_some = batch.after.offset > position.offset;
                    return Ok(read_some.then_some(batch));
                }
                Found::Damage { range, .. } => {
                    batch.bytes += range.len() as u64;
                    let offset = position.offset + range.start as u64;
                    self.keep(position.first, offset, bytes.get(range).unwrap_or_default())?;
                }
            }
            batch.after.offset = position.offset + scanner.offset() as u64;
            batch.after.expected = scanner.expected();
            if batch.events.len() >= max_events {
                batch.full = true;
                break;
            }
        }
        Ok(Some(batch))
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
