//! The durable cursor: the number of the first event that the receiver has not acknowledged.
//!
//! One line, `bulkhead-cursor 1 <next> <crc32 in hex>`. The checksum is there because a cursor
//! that is too high by one flipped bit would skip events. A cursor that cannot be read is
//! treated as none: everything kept is sent again, and the receiver counts an id once.

use std::{fs, io, path::Path};

use crate::disk;

const NAME: &str = "cursor";
const KIND: &str = "bulkhead-cursor 1";

/// The cursor of `directory`; `None` where there is none or it is damaged.
pub(crate) fn load(directory: &Path) -> io::Result<Option<u64>> {
    let bytes = match fs::read(directory.join(NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let next = decode(&bytes);
    if next.is_none() {
        tracing::error!(
            directory = %directory.display(),
            "expected a sound cursor, found a damaged one: sending every kept event again"
        );
    }
    Ok(next)
}

/// Makes `next` the cursor, durably.
pub(crate) fn store(directory: &Path, next: u64) -> io::Result<()> {
    disk::replace(directory, NAME, encode(next).as_bytes())
}

fn encode(next: u64) -> String {
    let covered = format!("{KIND} {next}");
    format!("{covered} {:08x}\n", crc32fast::hash(covered.as_bytes()))
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(bytes).ok()?;
    let next = line.strip_prefix(KIND)?.split_whitespace().next()?.parse().ok()?;
    (encode(next) == line).then_some(next)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // tests fail by panicking

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stored_cursor_is_loaded_and_a_missing_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(directory.path()).unwrap(), None);
        store(directory.path(), 42).unwrap();
        store(directory.path(), 43).unwrap();
        assert_eq!(load(directory.path()).unwrap(), Some(43));
    }

    proptest! {
        #[test]
        fn a_damaged_cursor_never_points_elsewhere(
            next: u64,
            at: prop::sample::Index,
            bit in 0..8u8,
            cut: prop::sample::Index,
        ) {
            let whole = encode(next).into_bytes();
            prop_assert_eq!(decode(&whole), Some(next));
            let mut flipped = whole.clone();
            flipped[at.index(whole.len())] ^= 1 << bit;
            prop_assert_eq!(decode(&flipped), None);
            prop_assert_eq!(decode(&whole[..cut.index(whole.len())]), None);
        }
    }
}
