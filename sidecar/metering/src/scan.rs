//! Reads a segment's frames in order, and says which bytes are none.

use std::ops::Range;

use crate::{event::UsageEvent, frame};

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A sound event.
    Event {
        sequence: u64,
        event: Box<UsageEvent>,
        /// The size of its frame.
        size: usize,
    },
    /// Bytes that are no event.
    Damage {
        range: Range<usize>,
        /// No sound frame follows: what a write that was cut off leaves behind.
        torn: bool,
    },
}

/// A pass over the bytes of a segment, or of a part of one that starts at a frame.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    offset: usize,
    expected: u64,
    void_from: u64,
}

impl<'a> Scanner<'a> {
    /// Starts at `offset`, where the frame with the number `expected` should stand. Frames
    /// numbered `void_from` or higher were given up by the writer and end the pass.
    pub(crate) fn new(bytes: &'a [u8], offset: usize, expected: u64, void_from: u64) -> Self {
        Self { bytes, offset, expected, void_from }
    }

    /// Where the next frame should start.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// The number that the next frame should have.
    pub(crate) fn expected(&self) -> u64 {
        self.expected
    }

    fn damage(&mut self, end: usize, torn: bool) -> Option<Found> {
        let range = self.offset..end;
        self.offset = end;
        Some(Found::Damage { range, torn })
    }
}

impl Iterator for Scanner<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let frame = frame::decode(rest).filter(|frame| frame.sequence >= self.expected);
        let Some(frame) = frame else {
            if self.expected >= self.void_from {
                return None;
            }
            return match frame::find(self.bytes, self.offset + 1, self.expected) {
                Some(next) => self.damage(next, false),
                None => self.damage(self.bytes.len(), true),
            };
        };
        if frame.sequence >= self.void_from {
            return None;
        }
        self.expected = frame.sequence.saturating_add(1);
        match serde_json::from_slice(frame.event) {
            Ok(event) => {
                self.offset += frame.size;
                Some(Found::Event { sequence: frame.sequence, event, size: frame.size })
            }
            // A sound frame that this program cannot read is kept like damage, never dropped.
            Err(_) => self.damage(self.offset + frame.size, false),
        }
    }
}
