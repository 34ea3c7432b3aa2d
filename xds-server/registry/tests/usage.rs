//! The ledger's promises: an event counts once, and the sums are those of the events.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{collections::BTreeMap, path::PathBuf};

use proptest::prelude::*;
use registry::{Granularity, Ledger, Recorded, UsageEvent, UsageQuery, UsageRecord, parse_period};
use serde_json::json;
use support::{NOW, clock};
use tempfile::TempDir;
use uuid::Uuid;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    (folder, path)
}

async fn ledger() -> (TempDir, Ledger) {
    let (folder, path) = place();
    let ledger = Ledger::open_with_clock(path, clock().0).await.unwrap();
    (folder, ledger)
}

/// An event of `tenant`, that many seconds ago.
fn event(id: u128, tenant: &str, quantity: u64, seconds_ago: u64) -> UsageEvent {
    UsageEvent {
        id: Uuid::from_u128(id),
        tenant: tenant.parse().unwrap(),
        metric: "prediction_rows".to_owned(),
        quantity,
        model: "eta".parse().unwrap(),
        version: "v1".parse().unwrap(),
        data_plane: "shared".parse().unwrap(),
        region: "eu-central-1".to_owned(),
        timestamp: (NOW.unsigned_abs() - seconds_ago) * 1_000_000,
        latency: 1_500,
    }
}

async fn usage(
    ledger: &Ledger,
    tenant: Option<&str>,
    period: &str,
    granularity: Granularity,
) -> Vec<UsageRecord> {
    let query = UsageQuery {
        tenant: tenant.map(|tenant| tenant.parse().unwrap()),
        period: parse_period(period).unwrap(),
        granularity,
    };
    ledger.usage(&query).await.unwrap()
}

fn sums(records: &[UsageRecord]) -> Vec<(String, String, u64, u64)> {
    let sum = |record: &UsageRecord| {
        (record.tenant.clone(), record.period_start.to_string(), record.quantity, record.events)
    };
    records.iter().map(sum).collect()
}

async fn agrees(ledger: &Ledger) -> bool {
    ledger.reconcile(None, parse_period("2026-11").unwrap()).await.unwrap().agrees()
}

#[tokio::test]
async fn an_event_counts_once_however_often_it_is_sent() {
    let (_folder, ledger) = ledger().await;
    let batch = [event(1, "org_a", 3, 0), event(2, "org_a", 4, 0), event(1, "org_a", 3, 0)];
    let first = ledger.record(&batch).await.unwrap();
    assert_eq!(first, Recorded { new: 2, duplicates: 1, quarantined: 0 });
    let again = ledger.record(&batch).await.unwrap();
    assert_eq!(again, Recorded { new: 0, duplicates: 3, quarantined: 0 });
    let records = usage(&ledger, None, "2026-11", Granularity::Month).await;
    assert_eq!(sums(&records), [("org_a".to_owned(), "2026-11-01T00:00:00Z".to_owned(), 7, 2)]);
    assert!(agrees(&ledger).await);
}

#[tokio::test]
async fn usage_survives_a_restart_and_a_replay_after_it() {
    let (_folder, path) = place();
    let open = || Ledger::open_with_clock(&path, clock().0);
    let ledger = open().await.unwrap();
    ledger.record(&[event(1, "org_a", 3, 0)]).await.unwrap();
    ledger.close().await;
    let ledger = open().await.unwrap();
    let again = ledger.record(&[event(1, "org_a", 3, 0)]).await.unwrap();
    assert_eq!(again.duplicates, 1);
    assert_eq!(usage(&ledger, None, "2026-11", Granularity::Month).await[0].quantity, 3);
}

#[tokio::test]
async fn hours_days_and_months_begin_at_utc() {
    let (_folder, ledger) = ledger().await;
    // It is 05:30 on the 21st: 05:30, 04:30 and, six hours before, 23:30 on the 20th.
    let batch = [
        event(1, "org_a", 1, 0),
        event(2, "org_a", 2, 3_600),
        event(3, "org_a", 4, 6 * 3_600),
        event(4, "org_b", 8, 0),
    ];
    ledger.record(&batch).await.unwrap();
    let of = |start: &str, quantity| ("org_a".to_owned(), start.to_owned(), quantity, 1);
    assert_eq!(
        sums(&usage(&ledger, Some("org_a"), "2026-11", Granularity::Hour).await),
        [
            of("2026-11-20T23:00:00Z", 4),
            of("2026-11-21T04:00:00Z", 2),
            of("2026-11-21T05:00:00Z", 1)
        ]
    );
    let days = usage(&ledger, Some("org_a"), "2026-11", Granularity::Day).await;
    assert_eq!(days.iter().map(|day| day.quantity).collect::<Vec<_>>(), [4, 3]);
    assert_eq!(usage(&ledger, None, "2026-11-20", Granularity::Day).await.len(), 1);
    assert_eq!(
        sums(&usage(&ledger, Some("org_a"), "2026-11-21T05", Granularity::Hour).await),
        [of("2026-11-21T05:00:00Z", 1)]
    );
    assert!(usage(&ledger, None, "2026-10", Granularity::Month).await.is_empty());
    assert!(usage(&ledger, Some("org_x"), "2026-11", Granularity::Month).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_believed_is_kept_with_its_reason_and_holds_up_nobody() {
    let (_folder, ledger) = ledger().await;
    let good = serde_json::to_value(event(1, "org_a", 3, 0)).unwrap();
    let with = |field: &str, value: serde_json::Value| {
        let mut event = serde_json::to_value(event(9, "org_a", 3, 0)).unwrap();
        event[field] = value;
        event
    };
    let wrong = [
        (with("tenant", json!("../org_b")), "tenant id"),
        (with("quantity", json!(0)), "quantity of 1"),
        (with("quantity", json!(u64::MAX)), "quantity of 1"),
        (with("quantity", json!(-1)), "usage event"),
        (with("timestamp", json!((NOW + 7_200) * 1_000_000)), "clock"),
        (with("timestamp", json!(0)), "clock"),
        (with("timestamp", json!(u64::MAX)), "clock"),
        (with("metric", json!("")), "metric"),
        (with("id", json!("1")), "usage event"),
        (json!("no event"), "usage event"),
        (json!(null), "usage event"),
    ];
    let mut batch = vec![good];
    batch.extend(wrong.iter().map(|(json, _)| json.clone()));
    let count = wrong.len() as u64;
    let recorded = ledger.record_json(&batch).await.unwrap();
    assert_eq!(recorded, Recorded { new: 1, duplicates: 0, quarantined: count });
    ledger.record_json(&batch).await.unwrap();
    let held = ledger.quarantine(100).await.unwrap();
    assert_eq!(held.len(), wrong.len(), "a replay is kept once");
    for (json, reason) in &wrong {
        let kept = held.iter().find(|kept| kept.event == *json).unwrap();
        assert!(kept.reason.contains(reason), "{json}: {}", kept.reason);
    }
    let sums = ledger.reconcile(None, parse_period("2026-11").unwrap()).await.unwrap();
    assert!(sums.agrees());
    assert_eq!((sums.raw_events, sums.raw_quantity, sums.quarantined), (1, 3, count));
}

#[tokio::test]
async fn an_id_that_says_something_else_later_counts_as_it_did_first() {
    let (_folder, ledger) = ledger().await;
    ledger.record(&[event(1, "org_a", 3, 0)]).await.unwrap();
    // The same request answered again after a crash: later, on the same terms.
    let retried = ledger.record(&[event(1, "org_a", 3, 60)]).await.unwrap();
    assert_eq!(retried.duplicates, 1);
    let other = ledger.record(&[event(1, "org_b", 3, 0), event(1, "org_a", 9, 0)]).await.unwrap();
    assert_eq!(other, Recorded { new: 0, duplicates: 0, quarantined: 2 });
    let records = usage(&ledger, None, "2026-11", Granularity::Month).await;
    assert_eq!((records.len(), records[0].quantity), (1, 3));
}

#[tokio::test]
async fn concurrent_batches_of_the_same_events_count_once() {
    let (_folder, ledger) = ledger().await;
    let batch: Vec<UsageEvent> = (0..40).map(|id| event(id, "org_a", 2, 0)).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for start in 0..8 {
        let (ledger, mut batch) = (ledger.clone(), batch.clone());
        batch.rotate_left(start * 5);
        tasks.spawn(async move { ledger.record(&batch).await.unwrap() });
    }
    let all = tasks.join_all().await;
    assert_eq!(all.iter().map(|recorded| recorded.new).sum::<u64>(), 40);
    assert_eq!(all.iter().map(|recorded| recorded.duplicates).sum::<u64>(), 280);
    assert_eq!(usage(&ledger, None, "2026-11", Granularity::Month).await[0].quantity, 80);
    assert!(agrees(&ledger).await);
}

#[tokio::test]
async fn a_recording_that_was_given_up_leaves_nothing_or_everything() {
    let (_folder, ledger) = ledger().await;
    let batch: Vec<UsageEvent> = (0..200).map(|id| event(id, "org_a", 1, 0)).collect();
    for tenths in 0..20 {
        // Given up at another point each time; where that lies is all the same.
        let patience = std::time::Duration::from_micros(tenths * 500);
        let _ = tokio::time::timeout(patience, ledger.record(&batch)).await;
        let sums = ledger.reconcile(None, parse_period("2026-11").unwrap()).await.unwrap();
        assert!(sums.agrees() && [0, 200].contains(&sums.raw_events), "{sums:?}");
    }
    ledger.record(&batch).await.unwrap();
    assert_eq!(usage(&ledger, None, "2026-11", Granularity::Month).await[0].quantity, 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However the events are split, repeated and ordered, the hours are those of a plain fold.
    #[test]
    fn batches_give_the_sums_of_a_plain_fold(
        events in prop::collection::vec((0_u8..3, 1_u64..1_000, 0_u64..200_000), 1..40),
        sent in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..80),
    ) {
        let all: Vec<UsageEvent> = (0_u128..)
            .zip(&events)
            .map(|(id, (tenant, quantity, ago))| event(id, &format!("org_{tenant}"), *quantity, *ago))
            .collect();
        let mut expected: BTreeMap<(String, i64), (u64, u64)> = BTreeMap::new();
        for event in &all {
            let hour = i64::try_from(event.timestamp / 3_600_000_000).unwrap();
            let sum = expected.entry((event.tenant.to_string(), hour)).or_default();
            *sum = (sum.0 + event.quantity, sum.1 + 1);
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (_folder, ledger) = ledger().await;
            let mut batch = Vec::new();
            for (index, ends) in &sent {
                batch.push(index.get(&all).clone());
                if *ends {
                    ledger.record(&std::mem::take(&mut batch)).await.unwrap();
                }
            }
            batch.extend(all.iter().rev().cloned());
            ledger.record(&batch).await.unwrap();
            let mut found = BTreeMap::new();
            for period in ["2026-11"] {
                for record in usage(&ledger, None, period, Granularity::Hour).await {
                    let key = (record.tenant, record.period_start.as_second() / 3_600);
                    found.insert(key, (record.quantity, record.events));
                }
            }
            assert_eq!(found, expected);
            assert!(agrees(&ledger).await);
        });
    }
}
