//! What a failing disk may cost: answers, never events.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::{
    faulty_disk::{Answer, Ask, FaultyDisk},
    *,
};

fn obeying() -> FaultyDisk {
    FaultyDisk::new(|_| Answer::Obey)
}

fn open(disk: &FaultyDisk, directory: &Path) -> OpenedLog {
    WriteAheadLog::open_on(Box::new(disk.clone()), options(directory)).unwrap()
}

/// Appends until the log takes it: it must, soon after the disk works again.
async fn append_when_recovered(log: &WriteAheadLog, number: u64) {
    for _ in 0..1000 {
        if log.append(&event(number)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the log did not recover: {:?}", log.stats());
}

/// An event whose append failed is not billed, whatever of it reached the disk.
async fn fails_once(failing: fn(Ask) -> Answer) {
    let directory = tempfile::tempdir().unwrap();
    let disk = obeying();
    let opened = open(&disk, directory.path());
    opened.log.append(&event(1)).await.unwrap();
    let mut failed = false;
    disk.set(move |ask| {
        let answer = if failed { Answer::Obey } else { failing(ask) };
        failed |= answer != Answer::Obey && matches!(ask, Ask::Append(_) | Ask::Sync);
        answer
    });
    let refused = opened.log.append(&event(2)).await;
    assert!(matches!(refused, Err(AppendError::Unwritable { .. })), "{refused:?}");
    opened.log.append(&event(3)).await.unwrap();
    let stats = opened.log.stats();
    assert_eq!((stats.appended, stats.failed, stats.refusing), (2, 1, None));
    assert!(stats.last_error.is_some());
    drop(opened);
    let (numbers, recovery) = reopened(directory.path());
    assert_eq!(numbers, [1, 3]);
    assert_eq!((recovery.missing_events, recovery.damages), (0, vec![]));
}

#[tokio::test]
async fn an_event_of_a_write_cut_short_is_refused_and_stays_out_of_the_log() {
    fails_once(|ask| match ask {
        Ask::Append(_) => Answer::Fail(40),
        _ => Answer::Obey,
    })
    .await;
}

#[tokio::test]
async fn an_event_of_a_failed_sync_is_refused_and_stays_out_of_the_log() {
    fails_once(|ask| match ask {
        Ask::Sync => Answer::Fail(0),
        _ => Answer::Obey,
    })
    .await;
}

#[tokio::test]
async fn a_failed_batch_is_void_even_where_it_cannot_be_cut_off() {
    fails_once(|ask| match ask {
        Ask::Sync | Ask::Truncate => Answer::Fail(0),
        _ => Answer::Obey,
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_refuses_every_event_until_it_has_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let disk = obeying();
    let opened = open(&disk, directory.path());
    opened.log.append(&event(1)).await.unwrap();
    disk.set(|ask| match ask {
        Ask::Create | Ask::Append(_) => Answer::Fail(0),
        _ => Answer::Obey,
    });
    for refused in 2..6 {
        assert!(opened.log.append(&event(refused)).await.is_err());
    }
    assert!(opened.log.stats().refusing.is_some());
    disk.set(|_| Answer::Obey);
    append_when_recovered(&opened.log, 6).await;
    assert_eq!(opened.log.stats().refusing, None);
    drop(opened);
    assert_eq!(reopened(directory.path()).0, [1, 6]);
}

#[tokio::test]
async fn a_log_opens_on_a_full_disk_and_still_ships() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(&obeying(), directory.path());
    opened.log.append(&event(1)).await.unwrap();
    drop(opened);
    let full = FaultyDisk::new(|_| Answer::Fail(0));
    let mut opened = open(&full, directory.path());
    assert!(opened.log.append(&event(2)).await.is_err());
    assert_eq!(unshipped(&mut opened.backlog), [1]);
}

/// Appends in waves of four, so that batches hold several; returns what was acknowledged.
async fn acknowledged_under(log: &WriteAheadLog, appends: u64) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    for wave in 0..appends.div_ceil(4) {
        let numbers: Vec<u64> = (wave * 4..wave * 4 + 4).collect();
        let events: Vec<UsageEvent> = numbers.iter().copied().map(event).collect();
        let results = futures::future::join_all(events.iter().map(|event| log.append(event))).await;
        let ok = numbers.iter().zip(results).filter(|(_, result)| result.is_ok());
        acknowledged.extend(ok.map(|(number, _)| *number));
    }
    acknowledged
}

fn failing_as(answers: Vec<(u8, usize)>) -> FaultyDisk {
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    FaultyDisk::new(move |_| match answers.lock().unwrap().next() {
        Some((0..80, part)) => Answer::Fail(part),
        _ => Answer::Obey,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn after_any_failures_the_log_holds_exactly_what_was_acknowledged(
        answers in prop::collection::vec((any::<u8>(), 0..900usize), 0..60),
        segment_bytes in 500..4000u64,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let disk = failing_as(answers);
        let options = LogOptions { segment_bytes, ..options(directory.path()) };
        let acknowledged = runtime().block_on(async {
            let opened = WriteAheadLog::open_on(Box::new(disk.clone()), options).unwrap();
            let mut acknowledged = acknowledged_under(&opened.log, 24).await;
            // The disk heals, and one more append shows that the log has too.
            disk.set(|_| Answer::Obey);
            append_when_recovered(&opened.log, 1000).await;
            acknowledged.push(1000);
            acknowledged
        });
        let (numbers, recovery) = reopened(directory.path());
        prop_assert_eq!(numbers, acknowledged);
        prop_assert_eq!(recovery.missing_events, 0);
        prop_assert_eq!(recovery.damages, vec![]);
    }

    #[test]
    fn acknowledged_events_survive_a_power_cut_that_keeps_only_what_was_synced(
        answers in prop::collection::vec((any::<u8>(), 0..900usize), 0..60),
        segment_bytes in 500..4000u64,
        kept: u8,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let disk = failing_as(answers);
        let options = LogOptions { segment_bytes, ..options(directory.path()) };
        let acknowledged = runtime().block_on(async {
            let opened = WriteAheadLog::open_on(Box::new(disk.clone()), options).unwrap();
            acknowledged_under(&opened.log, 24).await
        });
        disk.cut_power(kept);
        let (numbers, _) = reopened(directory.path());
        let mut found = numbers.clone();
        found.dedup();
        prop_assert_eq!(&found, &numbers, "an event came back twice");
        found.retain(|number| acknowledged.contains(number));
        prop_assert_eq!(found, acknowledged);
    }
}
