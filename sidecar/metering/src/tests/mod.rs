//! Claims about the whole log, on a disk that can be made to fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod disk_failures;
mod faulty_disk;
mod group_commit;
mod recovery;
mod shipping;

use std::{path::Path, time::Duration};

use uuid::Uuid;

use crate::{
    backlog::{Backlog, BatchLimits},
    *,
};

/// A one-off event that `number` tells from every other.
fn event(number: u64) -> UsageEvent {
    UsageEvent {
        id: Uuid::from_u128(u128::from(number)),
        tenant: "org_dl".parse().unwrap(),
        metric: UsageEvent::PREDICTION_ROWS.to_owned(),
        quantity: number % 100,
        model: "air-time".parse().unwrap(),
        version: "3".parse().unwrap(),
        data_plane: "shared-1".parse().unwrap(),
        region: "eu-central".to_owned(),
        timestamp: 1_795_000_000_000_000 + number,
        latency: 800 + number % 7,
    }
}

fn number(event: &UsageEvent) -> u64 {
    event.id.as_u128() as u64
}

fn options(directory: &Path) -> LogOptions {
    LogOptions { retry_after: Duration::from_millis(1), ..LogOptions::new(directory) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Every unshipped event of an opened log, which must be whole events that were written.
fn unshipped(backlog: &mut Backlog) -> Vec<u64> {
    let mut numbers = Vec::new();
    let limits = BatchLimits { events: 3, bytes: 900 };
    while let Some(batch) = backlog.next(limits).unwrap() {
        for found in &batch.events {
            assert_eq!(found, &event(number(found)), "an event came back changed");
            numbers.push(number(found));
        }
        backlog.commit(&batch).unwrap();
    }
    numbers
}

/// What the directory holds, read as a start after a crash reads it.
fn reopened(directory: &Path) -> (Vec<u64>, Recovery) {
    let mut opened = WriteAheadLog::open(options(directory)).unwrap();
    let expected = opened.log.stats().backlog_events;
    let numbers = unshipped(&mut opened.backlog);
    assert_eq!(expected, numbers.len() as u64, "the backlog's count is not what is in it");
    (numbers, opened.recovery)
}
