//! What a receiver may do, and what becomes of the events.

use std::{
    collections::BTreeSet,
    fs,
    ops::Range,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;

use super::*;

/// What the receiver says of a batch.
type Verdict = Box<dyn FnMut(&[u64]) -> Result<(), ShipError> + Send>;

/// A receiver in memory that keeps what it accepted, in the order in which it did.
#[derive(Clone)]
struct Receiver {
    accepted: Arc<Mutex<Vec<u64>>>,
    verdict: Arc<Mutex<Verdict>>,
}

impl Receiver {
    fn new(verdict: impl FnMut(&[u64]) -> Result<(), ShipError> + Send + 'static) -> Self {
        Self { accepted: Arc::default(), verdict: Arc::new(Mutex::new(Box::new(verdict))) }
    }

    fn set(&self, verdict: impl FnMut(&[u64]) -> Result<(), ShipError> + Send + 'static) {
        *self.verdict.lock().unwrap() = Box::new(verdict);
    }

    fn accepted(&self) -> Vec<u64> {
        self.accepted.lock().unwrap().clone()
    }
}

impl Sink for Receiver {
    async fn ship(&self, events: &[UsageEvent]) -> Result<(), ShipError> {
        let numbers: Vec<u64> = events.iter().map(number).collect();
        (self.verdict.lock().unwrap())(&numbers)?;
        self.accepted.lock().unwrap().extend(numbers);
        Ok(())
    }
}

fn refused() -> ShipError {
    ShipError::Refused { status: 422, detail: "unknown metric".to_owned() }
}

fn unavailable() -> ShipError {
    ShipError::Unavailable { detail: "status 500".to_owned(), retry_after: None }
}

fn refuses(poison: BTreeSet<u64>) -> impl FnMut(&[u64]) -> Result<(), ShipError> + Send {
    move |numbers| {
        if numbers.iter().any(|number| poison.contains(number)) { Err(refused()) } else { Ok(()) }
    }
}

fn impatient() -> ShipperOptions {
    ShipperOptions {
        batch_events: 8,
        linger: Duration::ZERO,
        first_backoff: Duration::from_micros(10),
        max_backoff: Duration::from_micros(100),
        ..ShipperOptions::default()
    }
}

fn dead_letters(directory: &Path) -> Vec<u64> {
    let text = fs::read_to_string(directory.join("dead-letter.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["status"], 422);
        assert_eq!(line["detail"], "unknown metric");
        number(&serde_json::from_value(line["event"].take()).unwrap())
    });
    lines.collect()
}

async fn opened_with(directory: &Path, events: Range<u64>) -> OpenedLog {
    let options = LogOptions { segment_bytes: 2000, ..options(directory) };
    let opened = WriteAheadLog::open(options).unwrap();
    for number in events {
        opened.log.append(&event(number)).await.unwrap();
    }
    opened
}

/// Runs the shipper until `done`, for a bounded number of turns.
async fn ship_until<S: Sink>(shipper: &mut Shipper<S>, mut done: impl FnMut() -> bool) {
    let watch = async {
        for _ in 0..5000 {
            if done() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        false
    };
    let mut reached = false;
    shipper.run(async { reached = watch.await }).await;
    assert!(reached, "the shipper did not get there");
}

#[tokio::test]
async fn events_are_shipped_as_they_come_and_the_backlog_is_then_empty() {
    let directory = tempfile::tempdir().unwrap();
    let OpenedLog { log, backlog, .. } = opened_with(directory.path(), 0..20).await;
    let receiver = Receiver::new(|_| Ok(()));
    let mut shipper = Shipper::new(backlog, receiver.clone(), impatient());
    ship_until(&mut shipper, || receiver.accepted().len() == 20).await;
    log.append(&event(20)).await.unwrap();
    ship_until(&mut shipper, || receiver.accepted().len() == 21 && log.stats().backlog_events == 0)
        .await;
    assert_eq!(receiver.accepted(), (0..21).collect::<Vec<_>>());
    let stats = log.stats();
    assert_eq!((stats.shipped, stats.backlog_bytes, stats.oldest_unshipped), (21, 0, None));
}

#[tokio::test]
async fn a_receiver_that_refuses_everything_loses_nothing_once_it_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let OpenedLog { log, backlog, .. } = opened_with(directory.path(), 0..20).await;
    let receiver = Receiver::new(|_| Err(refused()));
    let mut shipper = Shipper::new(backlog, receiver.clone(), impatient());
    ship_until(&mut shipper, || log.stats().ship_failures > 5).await;
    assert_eq!(dead_letters(directory.path()), Vec::<u64>::new());
    assert!(log.stats().last_error.unwrap().contains("unknown metric"));
    receiver.set(|_| Ok(()));
    shipper.drain().await;
    assert_eq!(receiver.accepted(), (0..20).collect::<Vec<_>>());
    assert_eq!(dead_letters(directory.path()), Vec::<u64>::new());
}

#[tokio::test]
async fn a_lone_refused_event_waits_until_another_shows_that_the_receiver_is_well() {
    let directory = tempfile::tempdir().unwrap();
    let OpenedLog { log, backlog, .. } = opened_with(directory.path(), 0..1).await;
    let receiver = Receiver::new(refuses([0].into()));
    let mut shipper = Shipper::new(backlog, receiver.clone(), impatient());
    ship_until(&mut shipper, || log.stats().ship_failures > 2).await;
    assert_eq!(log.stats().dead_lettered, 0);
    log.append(&event(1)).await.unwrap();
    shipper.drain().await;
    assert_eq!(receiver.accepted(), [1]);
    assert_eq!(dead_letters(directory.path()), [0]);
    assert_eq!(log.stats().dead_lettered, 1);
}

#[tokio::test]
async fn events_acknowledged_before_a_restart_are_not_sent_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let opened = opened_with(directory.path(), 0..20).await;
    let receiver =
        Receiver::new(|numbers| if numbers.contains(&10) { Err(unavailable()) } else { Ok(()) });
    let mut shipper = Shipper::new(opened.backlog, receiver.clone(), impatient());
    ship_until(&mut shipper, || opened.log.stats().ship_failures > 0).await;
    let before = receiver.accepted();
    assert!(!before.is_empty());
    drop((shipper, opened.log));
    let opened = opened_with(directory.path(), 20..22).await;
    receiver.set(|_| Ok(()));
    Shipper::new(opened.backlog, receiver.clone(), impatient()).drain().await;
    assert_eq!(receiver.accepted(), (0..22).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_event_is_accepted_in_order_or_set_aside_whatever_the_receiver_does(
        count in 2..60u64,
        poison in prop::collection::btree_set(1..60u64, 0..5),
        answers in prop::collection::vec(any::<bool>(), 0..20),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let poison: BTreeSet<u64> = poison.into_iter().filter(|number| *number < count).collect();
        let (accepted, left) = runtime().block_on(async {
            let OpenedLog { log, backlog, .. } = opened_with(directory.path(), 0..count).await;
            let mut answers = answers.into_iter();
            let mut verdict = refuses(poison.clone());
            let receiver = Receiver::new(move |numbers| {
                if answers.next() == Some(false) { Err(unavailable()) } else { verdict(numbers) }
            });
            let mut shipper = Shipper::new(backlog, receiver.clone(), impatient());
            // An event at the end shows that the receiver is well even if all before it are refused.
            log.append(&event(1000)).await.unwrap();
            shipper.drain().await;
            (receiver.accepted(), log.stats())
        });
        let mut expected: Vec<u64> = (0..count).filter(|n| !poison.contains(n)).collect();
        expected.push(1000);
        prop_assert_eq!(accepted, expected);
        prop_assert_eq!(dead_letters(directory.path()), poison.into_iter().collect::<Vec<_>>());
        prop_assert_eq!((left.backlog_events, left.backlog_bytes), (0, 0));
        prop_assert_eq!(reopened(directory.path()).0, Vec::<u64>::new());
    }
}
