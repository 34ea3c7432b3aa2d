//! Shipping over real connections.

use std::{collections::BTreeMap, time::Duration};

use hyper::StatusCode;
use metering::{HttpSink, LogOptions, ShipError, Shipper, ShipperOptions, Sink, WriteAheadLog};
use uuid::Uuid;

use crate::{
    client, event,
    receiver::{Mood, Receiver},
};

#[tokio::test]
async fn a_receiver_that_fails_hangs_up_and_repeats_itself_ends_with_exactly_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![
        Mood::HangUpBeforeRecording,
        Mood::FailBeforeRecording,
        Mood::HangUpAfterRecording,
        Mood::RecordAndSay,
        Mood::FailAfterRecording,
        Mood::AnswerTooLate(Duration::from_secs(60)),
        Mood::RecordAndSay,
    ])
    .await;
    let opened = WriteAheadLog::open(LogOptions {
        segment_bytes: 10_000,
        ..LogOptions::new(directory.path())
    })
    .unwrap();
    let sink = HttpSink::new(client(), &receiver.base()).with_timeout(Duration::from_millis(200));
    let options = ShipperOptions {
        batch_events: 25,
        linger: Duration::from_millis(1),
        first_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(5),
        ..ShipperOptions::default()
    };
    let mut shipper = Shipper::new(opened.backlog, sink, options);
    let mut appended = BTreeMap::new();
    let log = opened.log.clone();
    let append = async {
        for _ in 0..30 {
            let events: Vec<_> = (0..10).map(|_| event(Uuid::now_v7())).collect();
            let results = futures::future::join_all(events.iter().map(|event| log.append(event)));
            assert!(results.await.into_iter().all(|result| result.is_ok()));
            appended.extend(events.into_iter().map(|event| (event.id, event)));
        }
    };
    shipper.run(append).await;
    shipper.drain().await;
    let recorded = receiver.recorded.lock().unwrap();
    assert_eq!(recorded.events, appended);
    assert!(recorded.deliveries > appended.len(), "no duplicate was ever delivered");
    let stats = log.stats();
    assert_eq!((stats.appended, stats.shipped, stats.backlog_events), (300, 300, 0));
    assert!(stats.ship_failures > 0);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_unavailable_and_not_a_refusal() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let shipped = HttpSink::new(client(), &base).ship(&[event(Uuid::now_v7())]).await;
    assert!(matches!(shipped, Err(ShipError::Unavailable { .. })), "{shipped:?}");
}

#[tokio::test]
async fn only_a_status_that_speaks_of_the_body_is_a_refusal() {
    let statuses = [202, 301, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503];
    let moods = statuses.map(|status| Mood::Say(StatusCode::from_u16(status).unwrap()));
    let receiver = Receiver::start(moods.to_vec()).await;
    let sink = HttpSink::new(client(), &receiver.base());
    let mut refusals = Vec::new();
    for _ in statuses {
        match sink.ship(&[event(Uuid::now_v7())]).await {
            Err(ShipError::Refused { status, .. }) => refusals.push(status),
            Err(ShipError::Unavailable { .. }) => {}
            Ok(()) => panic!("a status that is not 200 passed for an acknowledgement"),
        }
    }
    assert_eq!(refusals, [400, 413, 422]);
}
