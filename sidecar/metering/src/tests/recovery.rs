//! What a start makes of what a crash, or a worse thing, left.

use std::{collections::BTreeSet, fs, ops::Range};

use proptest::prelude::*;

use super::*;
use crate::frame::{self, HEADER_BYTES};

/// Where each event's frame stands: its segment and its bytes.
type Frames = Vec<(std::path::PathBuf, Range<usize>)>;

/// Writes `count` events in segments of about `segment_bytes`, as one run of the log.
fn written(directory: &Path, count: u64, segment_bytes: u64) -> Frames {
    let options = LogOptions { segment_bytes, ..options(directory) };
    runtime().block_on(async {
        let opened = WriteAheadLog::open(options).unwrap();
        for number in 0..count {
            opened.log.append(&event(number)).await.unwrap();
        }
    });
    let mut frames = Frames::new();
    for path in crate::segment::list(directory).unwrap().into_values() {
        let bytes = fs::read(&path).unwrap();
        let mut offset = HEADER_BYTES;
        while let Some(frame) = frame::decode(&bytes[offset..]) {
            frames.push((path.clone(), offset..offset + frame.size));
            offset += frame.size;
        }
        assert_eq!(offset, bytes.len());
    }
    assert_eq!(frames.len() as u64, count);
    frames
}

#[test]
fn two_logs_never_write_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = WriteAheadLog::open(options(directory.path())).unwrap();
    let second = WriteAheadLog::open(options(directory.path()));
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{second:?}");
    // A shipper that is still running writes the cursor, so it holds the directory too.
    drop(first.log);
    assert!(WriteAheadLog::open(options(directory.path())).is_err());
    drop(first.backlog);
    WriteAheadLog::open(options(directory.path())).unwrap();
}

#[test]
fn a_segment_of_a_newer_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let frames = written(directory.path(), 1, 9000);
    let path = &frames[0].0;
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = 9;
    let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, &bytes).unwrap();
    let refused = WriteAheadLog::open(options(directory.path()));
    assert!(matches!(refused, Err(OpenError::Format { found: 9, .. })), "{refused:?}");
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn a_start_after_a_start_ships_only_what_is_new() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), 7, 1000);
    assert_eq!(reopened(directory.path()).0, (0..7).collect::<Vec<_>>());
    assert_eq!(reopened(directory.path()).0, Vec::<u64>::new());
    runtime().block_on(async {
        let opened = WriteAheadLog::open(options(directory.path())).unwrap();
        opened.log.append(&event(7)).await.unwrap();
    });
    assert_eq!(
        reopened(directory.path()),
        (vec![7], Recovery { events: 1, ..Recovery::default() })
    );
}

#[test]
fn shipped_segments_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let frames = written(directory.path(), 30, 1000);
    let before: BTreeSet<_> = frames.iter().map(|(path, _)| path).collect();
    assert!(before.len() > 5);
    reopened(directory.path());
    let left = crate::segment::list(directory.path()).unwrap();
    assert!(left.len() <= 2, "{left:?}");
}

#[test]
fn a_lost_cursor_costs_duplicates_and_no_events() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), 5, 100_000);
    let mut opened = WriteAheadLog::open(options(directory.path())).unwrap();
    let batch = opened.backlog.next(BatchLimits { events: 2, bytes: 9000 }).unwrap().unwrap();
    opened.backlog.commit(&batch).unwrap();
    drop(opened);
    fs::write(directory.path().join("cursor"), "bulkhead-cursor 1 4 00000000\n").unwrap();
    let (numbers, recovery) = reopened(directory.path());
    assert_eq!((numbers, recovery.missing_events), (vec![0, 1, 2, 3, 4], 0));
}

#[test]
fn a_segment_that_vanished_is_counted_as_missing_events() {
    let directory = tempfile::tempdir().unwrap();
    let frames = written(directory.path(), 20, 1000);
    let victim = &frames[10].0;
    let lost: Vec<u64> = (0..20).filter(|n| &frames[*n as usize].0 == victim).collect();
    fs::remove_file(victim).unwrap();
    let (numbers, recovery) = reopened(directory.path());
    assert_eq!(numbers, (0..20).filter(|n| !lost.contains(n)).collect::<Vec<_>>());
    assert_eq!(recovery.missing_events, lost.len() as u64);
}

#[test]
fn damage_that_appears_while_running_stops_neither_the_shipping_nor_the_counts() {
    let directory = tempfile::tempdir().unwrap();
    let frames = written(directory.path(), 9, 100_000);
    let mut opened = WriteAheadLog::open(options(directory.path())).unwrap();
    let (path, frame) = &frames[4];
    let mut bytes = fs::read(path).unwrap();
    bytes[frame.start + 30] ^= 1;
    fs::write(path, &bytes).unwrap();
    assert_eq!(unshipped(&mut opened.backlog), [0, 1, 2, 3, 5, 6, 7, 8]);
    let stats = opened.log.stats();
    assert_eq!((stats.backlog_events, stats.backlog_bytes, stats.shipped), (0, 0, 8));
    assert_eq!(stats.corrupt_bytes, frame.len() as u64);
    let kept = directory.path().join(format!(
        "{}.{}.corrupt",
        path.file_name().unwrap().to_str().unwrap(),
        frame.start
    ));
    assert_eq!(fs::read(kept).unwrap(), &bytes[frame.clone()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_log_cut_at_any_byte_holds_exactly_the_events_before_the_cut(
        count in 1..12u64,
        cut: prop::sample::Index,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let frames = written(directory.path(), count, 1 << 20);
        let path = &frames[0].0;
        let bytes = fs::read(path).unwrap();
        let cut = cut.index(bytes.len() + 1);
        fs::write(path, &bytes[..cut]).unwrap();
        let whole: Vec<u64> =
            (0..count).filter(|number| frames[*number as usize].1.end <= cut).collect();
        let (numbers, recovery) = reopened(directory.path());
        let sound = frames.iter().map(|(_, frame)| frame.end).filter(|end| *end <= cut).max();
        let torn = cut - sound.unwrap_or(if cut < HEADER_BYTES { 0 } else { HEADER_BYTES });
        prop_assert_eq!(numbers, whole);
        prop_assert_eq!(recovery.torn_bytes, torn as u64);
        prop_assert_eq!(recovery.damages, vec![]);
        // The cut is healed: the next start finds nothing to mend.
        prop_assert_eq!(reopened(directory.path()).1.torn_bytes, 0);
    }

    #[test]
    fn flipped_bits_cost_the_events_they_hit_and_no_others(
        count in 1..20u64,
        segment_bytes in 600..5000u64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..6),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let frames = written(directory.path(), count, segment_bytes);
        let paths: Vec<_> = crate::segment::list(directory.path()).unwrap().into_values().collect();
        let total: usize = paths.iter().map(|path| fs::read(path).unwrap().len()).sum();
        let places: BTreeSet<(usize, u8)> =
            flips.iter().map(|(at, bit)| (at.index(total), *bit)).collect();
        let mut hit = BTreeSet::new();
        let mut start = 0;
        for path in &paths {
            let mut bytes = fs::read(path).unwrap();
            for (place, bit) in &places {
                if let Some(at) = place.checked_sub(start).filter(|at| *at < bytes.len()) {
                    bytes[at] ^= 1 << bit;
                    let number = frames.iter().position(|(p, f)| p == path && f.contains(&at));
                    hit.extend(number.map(|number| number as u64));
                }
            }
            fs::write(path, &bytes).unwrap();
            start += bytes.len();
        }
        let opened = WriteAheadLog::open(options(directory.path()));
        let Ok(mut opened) = opened else {
            return Err(TestCaseError::fail(format!("{opened:?}")));
        };
        let numbers = unshipped(&mut opened.backlog);
        let untouched: Vec<u64> = (0..count).filter(|number| !hit.contains(number)).collect();
        prop_assert_eq!(numbers, untouched);
        prop_assert!(opened.recovery.missing_events <= hit.len() as u64);
        // What is hit behind the last sound event cannot be told from a torn write.
        let behind = hit.iter().rev().zip((0..count).rev()).take_while(|(a, b)| **a == *b).count();
        prop_assert!(opened.recovery.missing_events >= (hit.len() - behind) as u64);
    }

    #[test]
    fn any_bytes_as_a_segment_open_without_a_panic_and_without_an_event(
        first in 0..3u64,
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(crate::segment::path(directory.path(), first), bytes).unwrap();
        prop_assert_eq!(reopened(directory.path()).0, Vec::<u64>::new());
    }
}
