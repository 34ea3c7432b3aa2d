//! A process that is killed in the middle of its work.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use metering::{HttpSink, LogOptions, Shipper, ShipperOptions, WriteAheadLog};
use uuid::Uuid;

use crate::{
    client, event,
    receiver::{Mood, Receiver},
};

const DIRECTORY: &str = "METERING_TEST_DIRECTORY";
const RECEIVER: &str = "METERING_TEST_RECEIVER";

fn options(directory: impl AsRef<Path>) -> LogOptions {
    // Small, so that kills also hit the making and the deleting of segments.
    LogOptions { segment_bytes: 20_000, ..LogOptions::new(directory.as_ref()) }
}

fn impatient() -> ShipperOptions {
    ShipperOptions {
        batch_events: 40,
        linger: Duration::from_millis(1),
        first_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(10),
        ..ShipperOptions::default()
    }
}

/// One line in one write: a killed process leaves no half of one.
fn say(word: &str, id: Uuid) {
    let line = format!("\n{word} {id}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

#[test]
#[ignore = "not a test: the process that the others kill"]
fn child() {
    let Ok(directory) = env::var(DIRECTORY) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let opened = WriteAheadLog::open(options(directory)).unwrap();
        if let Ok(base) = env::var(RECEIVER) {
            let sink = HttpSink::new(client(), &base);
            let mut shipper = Shipper::new(opened.backlog, sink, impatient());
            tokio::spawn(async move { shipper.run(std::future::pending()).await });
        }
        for _ in 0..16 {
            let log = opened.log.clone();
            tokio::spawn(async move {
                loop {
                    let event = event(Uuid::now_v7());
                    say("try", event.id);
                    log.append(&event).await.unwrap();
                    say("ack", event.id);
                }
            });
        }
        // Ends by itself should its parent die without killing it.
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
}

/// What the killed process said: what it tried to append, and what was acknowledged to it.
#[derive(Debug, Default)]
struct Said {
    tried: BTreeSet<Uuid>,
    acknowledged: BTreeSet<Uuid>,
}

/// Runs the child until it has had `acknowledged` appends acknowledged, then kills it.
fn killed_after(acknowledged: usize, directory: &Path, receiver: Option<&str>, said: &mut Said) {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["crash::child", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped());
    if let Some(base) = receiver {
        command.env(RECEIVER, base);
    }
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut count = 0;
    for line in lines {
        let line = line.unwrap();
        let Some((word, id)) = line.split_once(' ') else { continue };
        let Ok(id) = id.parse() else { continue };
        match word {
            "try" => _ = said.tried.insert(id),
            "ack" => {
                said.acknowledged.insert(id);
                count += 1;
                if count == acknowledged {
                    // SIGKILL; what it said until then is still read.
                    child.kill().unwrap();
                }
            }
            _ => {}
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(count >= acknowledged, "the child died by itself after {count} events");
}

fn log_of(directory: &Path, receiver: &Receiver) -> impl Future<Output = ()> {
    let opened = WriteAheadLog::open(options(directory)).unwrap();
    assert_eq!(opened.recovery.damages, []);
    assert_eq!(opened.recovery.missing_events, 0);
    let sink = HttpSink::new(client(), &receiver.base());
    let mut shipper = Shipper::new(opened.backlog, sink, impatient());
    async move { shipper.drain().await }
}

#[tokio::test]
async fn every_acknowledged_event_is_in_the_log_of_a_killed_process() {
    let directory = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for acknowledged in [1, 40, 333] {
        killed_after(acknowledged, directory.path(), None, &mut said);
    }
    let receiver = Receiver::start(vec![Mood::RecordAndSay]).await;
    log_of(directory.path(), &receiver).await;
    let recorded = receiver.recorded.lock().unwrap();
    let logged: BTreeSet<Uuid> = recorded.events.keys().copied().collect();
    assert_eq!(recorded.deliveries, logged.len(), "the log holds an event twice");
    assert!(logged.is_superset(&said.acknowledged), "an acknowledged event is lost");
    assert!(logged.is_subset(&said.tried), "an event came from nowhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_ships_a_process_loses_nothing_and_the_receiver_counts_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let receiver =
        Receiver::start(vec![Mood::RecordAndSay, Mood::RecordAndSay, Mood::HangUpAfterRecording])
            .await;
    let path = directory.path().to_owned();
    let base = receiver.base();
    let said = tokio::task::spawn_blocking(move || {
        let mut said = Said::default();
        for acknowledged in [50, 120, 10, 250] {
            killed_after(acknowledged, &path, Some(&base), &mut said);
        }
        said
    });
    let said = said.await.unwrap();
    log_of(directory.path(), &receiver).await;
    let recorded = receiver.recorded.lock().unwrap();
    let counted: BTreeSet<Uuid> = recorded.events.keys().copied().collect();
    assert!(counted.is_superset(&said.acknowledged), "an acknowledged event was never counted");
    assert!(counted.is_subset(&said.tried), "an event came from nowhere");
}
