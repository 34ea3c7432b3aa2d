//! The client of this crate against the server of this crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use server::Server;
use xds::Snapshot;
use xds::client::{DeltaClient, Responder, Update, Updates};

const OWN: &str = "type.googleapis.com/bulkhead.v1.TenantAssignment";
const OTHER: &str = "type.googleapis.com/bulkhead.v1.Throttle";
/// Long enough for any machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

fn client(server: &Server) -> DeltaClient {
    DeltaClient::new(&server.address(), "sidecar-1")
        .unwrap()
        .metadata("group", "pool")
        .pauses(Duration::from_millis(5), Duration::from_millis(50))
        .subscribe(OWN)
}

fn snapshot(resources: &[(&'static str, &'static str)]) -> Snapshot {
    let add = |builder: xds::SnapshotBuilder, (name, value): &(&'static str, &'static str)| {
        builder.resource(OWN, *name, *value)
    };
    resources.iter().fold(Snapshot::builder(), add).build()
}

async fn next(updates: &mut Updates) -> (Update, Responder) {
    tokio::time::timeout(PATIENCE, updates.next()).await.expect("an update in time").unwrap()
}

fn names(update: &Update) -> Vec<&str> {
    update.upserts.iter().map(|upsert| upsert.name.as_str()).collect()
}

#[tokio::test]
async fn a_client_follows_changes_and_the_book_knows_what_it_accepted() {
    let server = Server::start().await;
    let first = snapshot(&[("ua", "1"), ("dl", "1")]);
    server.store.set("pool", first.clone());
    let mut updates = client(&server).start();
    let (update, responder) = next(&mut updates).await;
    assert_eq!(
        (names(&update), update.version.as_str()),
        (vec!["dl", "ua"], first.type_version(OWN))
    );
    assert_eq!(update.upserts[0].value, "1");
    responder.ack();
    let progress = server.proxies.settled("pool", &first, PATIENCE).await;
    assert_eq!(progress.accepted, ["sidecar-1"]);

    server.store.set("pool", snapshot(&[("ua", "2")]));
    let (update, responder) = next(&mut updates).await;
    assert_eq!((names(&update), update.removed.clone()), (vec!["ua"], vec!["dl".to_owned()]));
    responder.ack();
}

#[tokio::test]
async fn a_refusal_reaches_the_book_in_the_clients_words() {
    let server = Server::start().await;
    let bad = snapshot(&[("ua", "bad")]);
    server.store.set("pool", bad.clone());
    let mut updates = client(&server).start();
    let (_, responder) = next(&mut updates).await;
    responder.nack("no such model");
    let progress = server.proxies.settled("pool", &bad, PATIENCE).await;
    assert_eq!(progress.refused[0].refusal.message, "no such model");
    assert_eq!(progress.refused[0].refusal.resources, ["ua"]);

    let mended = snapshot(&[("ua", "mended")]);
    server.store.set("pool", mended.clone());
    let (update, responder) = next(&mut updates).await;
    assert_eq!(update.upserts[0].value, "mended");
    drop(responder);
    let progress = server.proxies.settled("pool", &mended, PATIENCE).await;
    assert!(progress.refused[0].refusal.message.contains("without an answer"), "{progress:?}");
}

#[tokio::test]
async fn after_a_restart_of_the_server_only_the_difference_comes() {
    let server = Server::start().await;
    server.store.set("pool", snapshot(&[("dl", "1"), ("oo", "1"), ("ua", "1")]));
    let mut updates = client(&server).start();
    let (_, responder) = next(&mut updates).await;
    responder.ack();
    server
        .proxies
        .settled("pool", &snapshot(&[("dl", "1"), ("oo", "1"), ("ua", "1")]), PATIENCE)
        .await;
    let at = server.stop().await;

    let server = Server::start_at(at).await;
    server.store.set("pool", snapshot(&[("dl", "2"), ("ua", "1")]));
    let (update, responder) = next(&mut updates).await;
    assert_eq!((names(&update), update.removed.clone()), (vec!["dl"], vec!["oo".to_owned()]));
    responder.ack();
    let progress =
        server.proxies.settled("pool", &snapshot(&[("dl", "2"), ("ua", "1")]), PATIENCE).await;
    assert!(progress.is_settled(), "{progress:?}");
}

#[tokio::test]
async fn a_client_that_starts_with_the_last_good_state_is_told_that_it_is_current() {
    let server = Server::start().await;
    let current = snapshot(&[("ua", "1")]);
    server.store.set("pool", current.clone());
    let version = current.of_type(OWN).get("ua").unwrap().version().to_owned();
    let held = [("ua".to_owned(), version), ("dl".to_owned(), "older".to_owned())];
    let mut updates = client(&server).holding(OWN, held).start();
    let (update, responder) = next(&mut updates).await;
    assert_eq!((names(&update), update.removed.clone()), (vec![], vec!["dl".to_owned()]));
    responder.ack();
    let progress = server.proxies.settled("pool", &current, PATIENCE).await;
    assert_eq!(progress.accepted, ["sidecar-1"]);
}

#[tokio::test]
async fn several_types_share_one_stream() {
    let server = Server::start().await;
    let both = Snapshot::builder().resource(OWN, "ua", "1").resource(OTHER, "ua", "slow").build();
    server.store.set("pool", both);
    let mut updates = client(&server).subscribe(OTHER).start();
    let mut seen = BTreeMap::new();
    for _ in 0..2 {
        let (update, responder) = next(&mut updates).await;
        seen.insert(update.type_url.clone(), update.upserts[0].value.clone());
        responder.ack();
    }
    assert_eq!((&seen[OWN][..], &seen[OTHER][..]), (&b"1"[..], &b"slow"[..]));
    assert_eq!(server.proxies.list().len(), 1);
}

#[tokio::test]
async fn a_client_waits_for_a_server_that_is_not_there_yet() {
    let at = Server::start().await.stop().await;
    let mut updates = DeltaClient::new(&format!("http://{at}"), "sidecar-1")
        .unwrap()
        .metadata("group", "pool")
        .pauses(Duration::from_millis(5), Duration::from_millis(20))
        .subscribe(OWN)
        .start();
    let early = tokio::time::timeout(Duration::from_millis(50), updates.next()).await;
    assert!(early.is_err(), "nothing to hear yet");
    let server = Server::start_at(at).await;
    server.store.set("pool", snapshot(&[("ua", "1")]));
    assert_eq!(names(&next(&mut updates).await.0), ["ua"]);
}

#[tokio::test]
async fn a_client_that_is_dropped_leaves() {
    let server = Server::start().await;
    server.store.set("pool", snapshot(&[("ua", "1")]));
    let mut updates = client(&server).start();
    next(&mut updates).await.1.ack();
    server.until(|proxies| proxies.len() == 1 && proxies[0].is_connected()).await;
    drop(updates);
    server.until(|proxies| !proxies[0].is_connected()).await;
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_with_the_form_that_is_expected() {
    let error = DeltaClient::new("not an address", "sidecar-1").unwrap_err();
    assert!(error.to_string().contains("http://host:port"), "{error}");
}
