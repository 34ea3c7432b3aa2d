//! The bytes of a segment: one header, then frames.
//!
//! ```text
//! header  magic 8 | format u32 | first u64 | continues_from u64 | crc32 u32
//! frame   length u32 | crc32 u32 | sequence u64 | event as JSON
//! ```
//!
//! Numbers are little-endian. A frame's `length` counts the sequence and the JSON; its checksum
//! covers the length, the sequence and the JSON, so that no field can be damaged unseen and a
//! run of zeros, which a power cut leaves behind, is no frame.
//!
//! The event is JSON because a bill may be disputed years later: the bytes can be read with any
//! tool, fields can be added, and beside a disk's sync the microsecond of encoding is nothing.
//! JSON text holds no zero byte and the length of a frame always does, so no text that a tenant
//! chooses can be mistaken for a frame when the log is searched for the next sound one.

use std::ops::Range;

/// What a segment starts with.
const MAGIC: [u8; 8] = *b"bhmeter\0";
/// The layout described above.
pub(crate) const FORMAT: u32 = 1;
/// The size of a segment's header.
pub(crate) const HEADER_BYTES: usize = 32;
const PREFIX_BYTES: usize = 8;
const SEQUENCE_BYTES: usize = 8;
/// The largest event in JSON. Names are short, so an event takes about 350 bytes.
pub(crate) const MAX_EVENT_BYTES: usize = 16 * 1024;
/// The largest frame.
pub(crate) const MAX_FRAME_BYTES: usize = PREFIX_BYTES + SEQUENCE_BYTES + MAX_EVENT_BYTES;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The sequence number of the first frame.
    pub first: u64,
    /// Where the log ended when this segment was made: a frame of an earlier segment with this
    /// number or a higher one belongs to a batch that failed, and is void.
    pub continues_from: u64,
}

/// Why a header could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// Fewer bytes than a header has, or a checksum that does not fit.
    Damaged,
    /// A sound header of another format.
    Format(u32),
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields = MAGIC
            .into_iter()
            .chain(FORMAT.to_le_bytes())
            .chain(self.first.to_le_bytes())
            .chain(self.continues_from.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        let (covered, crc) = bytes.split_at_mut(HEADER_BYTES - 4);
        crc.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let covered = bytes.get(..HEADER_BYTES - 4).ok_or(HeaderError::Damaged)?;
        let crc = u32_at(bytes, HEADER_BYTES - 4).ok_or(HeaderError::Damaged)?;
        if crc32fast::hash(covered) != crc || !bytes.starts_with(&MAGIC) {
            return Err(HeaderError::Damaged);
        }
        match u32_at(bytes, 8) {
            Some(FORMAT) => {}
            Some(other) => return Err(HeaderError::Format(other)),
            None => return Err(HeaderError::Damaged),
        }
        match (u64_at(bytes, 12), u64_at(bytes, 20)) {
            (Some(first), Some(continues_from)) => Ok(Self { first, continues_from }),
            _ => Err(HeaderError::Damaged),
        }
    }
}

/// Appends the frame of one event to `buffer`.
pub(crate) fn encode(buffer: &mut Vec<u8>, sequence: u64, event: &[u8]) {
    // Callers bound an event by MAX_EVENT_BYTES, so its length fits.
    let length = ((SEQUENCE_BYTES + event.len()) as u32).to_le_bytes();
    let crc = checksum(&length, &sequence.to_le_bytes(), event);
    buffer.extend_from_slice(&length);
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(event);
}

/// The size of the frame of an event of `event_bytes`.
pub(crate) fn frame_bytes(event_bytes: usize) -> usize {
    PREFIX_BYTES + SEQUENCE_BYTES + event_bytes
}

/// A sound frame, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub sequence: u64,
    /// The event's JSON.
    pub event: &'a [u8],
    /// The size of the whole frame.
    pub size: usize,
}

/// Reads the frame at the start of `bytes`; `None` where there is no whole and sound one.
pub(crate) fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    if !(SEQUENCE_BYTES..=SEQUENCE_BYTES + MAX_EVENT_BYTES).contains(&length) {
        return None;
    }
    let size = PREFIX_BYTES + length;
    let sequence = u64_at(bytes, PREFIX_BYTES)?;
    let event = bytes.get(PREFIX_BYTES + SEQUENCE_BYTES..size)?;
    let crc = checksum(bytes.get(..4)?, &sequence.to_le_bytes(), event);
    (u32_at(bytes, 4)? == crc).then_some(Frame { sequence, event, size })
}

/// Where the next sound frame with a number of `at_least` starts, searching from `from`.
pub(crate) fn find(bytes: &[u8], from: usize, at_least: u64) -> Option<usize> {
    let is_frame = |&start: &usize| {
        bytes.get(start..).and_then(decode).is_some_and(|frame| frame.sequence >= at_least)
    };
    Range { start: from, end: bytes.len() }.find(is_frame)
}

fn checksum(length: &[u8], sequence: &[u8], event: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(sequence);
    hasher.update(event);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_are_no_frame_and_no_header() {
        assert_eq!(decode(&[0; 4096]), None);
        assert_eq!(Header::decode(&[0; 4096]), Err(HeaderError::Damaged));
    }

    #[test]
    fn a_sound_header_of_another_format_is_told_from_a_damaged_one() {
        let mut bytes = Header { first: 7, continues_from: 5 }.encode();
        assert_eq!(Header::decode(&bytes), Ok(Header { first: 7, continues_from: 5 }));
        bytes[8] = 2;
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Damaged));
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Format(2)));
    }

    proptest! {
        #[test]
        fn a_frame_is_read_back_as_it_was_written(
            sequence: u64,
            event in prop::collection::vec(any::<u8>(), 0..300),
            after in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let mut bytes = Vec::new();
            encode(&mut bytes, sequence, &event);
            let size = bytes.len();
            prop_assert_eq!(size, frame_bytes(event.len()));
            bytes.extend(after);
            prop_assert_eq!(decode(&bytes), Some(Frame { sequence, event: &event, size }));
            prop_assert_eq!(decode(&bytes[..size - 1]), None);
        }

        #[test]
        fn a_frame_with_any_bit_flipped_is_no_frame(
            sequence: u64,
            event in prop::collection::vec(any::<u8>(), 0..100),
            at: prop::sample::Index,
            bit in 0..8u8,
        ) {
            let mut bytes = Vec::new();
            encode(&mut bytes, sequence, &event);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (decode(&bytes), find(&bytes, 0, 0), Header::decode(&bytes));
        }
    }
}
