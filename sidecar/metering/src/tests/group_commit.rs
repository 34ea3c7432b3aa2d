//! One sync for many, and never an answer before it.

use std::sync::{Arc, Condvar, Mutex};

use futures::FutureExt;
use tokio::task::JoinSet;

use super::{
    faulty_disk::{Answer, Ask, FaultyDisk},
    *,
};

/// A disk whose syncs of events wait until the gate is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, u32)>, Condvar)>);

impl Gate {
    fn disk(&self) -> FaultyDisk {
        let gate = self.clone();
        let mut events_written = false;
        FaultyDisk::new(move |ask| {
            match ask {
                Ask::Append(bytes) => events_written = bytes > crate::frame::HEADER_BYTES,
                Ask::Sync if events_written => gate.pass(),
                _ => {}
            }
            Answer::Obey
        })
    }

    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.1 += 1;
        changed.notify_all();
        let _open = changed.wait_while(state, |state| !state.0).unwrap();
    }

    fn wait_for_a_sync(&self) {
        let (state, changed) = &*self.0;
        let _arrived = changed.wait_while(state.lock().unwrap(), |state| state.1 == 0).unwrap();
    }

    fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().0 = true;
        changed.notify_all();
    }
}

#[tokio::test]
async fn an_append_returns_only_once_its_batch_is_synced_and_many_share_one_sync() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let opened = WriteAheadLog::open_on(Box::new(gate.disk()), options(directory.path())).unwrap();
    let mut appends = JoinSet::new();
    for number in 0..200 {
        let log = opened.log.clone();
        appends.spawn(async move { log.append(&event(number)).await });
    }
    tokio::task::yield_now().await;
    gate.wait_for_a_sync();
    assert!(appends.join_next().now_or_never().is_none(), "an append returned before the sync");
    assert_eq!(opened.log.stats().appended, 0);
    gate.open();
    while let Some(result) = appends.join_next().await {
        result.unwrap().unwrap();
    }
    let stats = opened.log.stats();
    assert_eq!((stats.appended, stats.backlog_events), (200, 200));
    assert!(stats.batches < 20, "{} syncs for 200 concurrent events", stats.batches);
    drop((opened, appends));
    assert_eq!(reopened(directory.path()).0, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_slow_disk_refuses_events_and_holds_no_more_than_its_queue() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let options = LogOptions { queue_events: 5, ..options(directory.path()) };
    let opened = WriteAheadLog::open_on(Box::new(gate.disk()), options).unwrap();
    let zeroth = event(0);
    let first = opened.log.append(&zeroth);
    let others: Vec<UsageEvent> = (1..50).map(event).collect();
    let (first, others) = tokio::join!(first, async {
        tokio::task::yield_now().await;
        gate.wait_for_a_sync();
        let mut appends: Vec<_> =
            others.iter().map(|event| Box::pin(opened.log.append(event))).collect();
        let early: Vec<_> = appends.iter_mut().map(|append| append.now_or_never()).collect();
        let waiting = early.iter().filter(|result| result.is_none()).count();
        assert_eq!(waiting, 5);
        assert!(
            early
                .iter()
                .flatten()
                .all(|result| result == &Err(AppendError::QueueFull { capacity: 5 }))
        );
        gate.open();
        early.len()
    });
    first.unwrap();
    assert_eq!(others, 49);
    assert_eq!(opened.log.stats().refused, 44);
}

#[tokio::test]
async fn a_receiver_that_is_gone_for_long_does_not_fill_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = LogOptions { backlog_bytes: 2000, ..options(directory.path()) };
    let mut opened = WriteAheadLog::open(options).unwrap();
    let mut taken = Vec::new();
    let refused = loop {
        let number = taken.len() as u64;
        match opened.log.append(&event(number)).await {
            Ok(()) => taken.push(number),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::BacklogFull { limit: 2000, .. }), "{refused}");
    assert!(opened.log.stats().backlog_bytes <= 2000);
    assert_eq!(unshipped(&mut opened.backlog), taken);
    opened.log.append(&event(99)).await.unwrap();
}

#[tokio::test]
async fn an_event_that_no_well_formed_name_could_make_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let opened = WriteAheadLog::open(options(directory.path())).unwrap();
    let huge = UsageEvent { region: "x".repeat(20_000), ..event(1) };
    let refused = opened.log.append(&huge).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
}
