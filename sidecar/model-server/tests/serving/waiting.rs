//! What waits for a processor, and how much memory it holds.

use model_server::Capacity;
use policy_model::assignment::Serving;
use reqwest::{StatusCode, header::RETRY_AFTER};
use tenancy::Digest;
use tokio::task::JoinHandle;

use crate::{
    INFER,
    node::{Home, Sidecar, answered, flights, onnx},
    plane::{PATIENCE, Plane, model},
    sharing::{metric, with_capacity},
};

const ROWS: usize = 100;
/// Less than two large requests and what they are filled up with, and more than two.
const BATCH_ROWS: u32 = 210;
const FILL: usize = 10;

/// Two tenants of one model, whose requests wait for each other for an hour, or until there are
/// enough for a batch: what waits is what the test says.
async fn two_who_wait() -> Plane {
    let mut plane = Plane::start().await;
    let pooled = plane.artifact(onnx("pooled"));
    let orgs = ["aa", "dl"];
    for org in orgs {
        plane.assign(org, "pool", vec![model("air-time", "1", "m", pooled, &orgs)]);
    }
    plane.serving = Some(Serving {
        max_batch_rows: BATCH_ROWS,
        batch_wait_micros: 3_600_000_000,
        keep_old_version_seconds: 0,
    });
    plane
}

struct Node {
    _home: Home,
    sidecar: Sidecar,
    metrics: String,
}

impl Node {
    async fn start(plane: &Plane, waiting_bytes: u64) -> Self {
        let capacity = Capacity { waiting_bytes, ..Capacity::default() };
        let (_home, sidecar, metrics) = with_capacity(plane, capacity).await;
        Self { _home, sidecar, metrics }
    }

    /// Asks, and does not wait for the answer: its status, code and when to try again.
    fn ask(&self, plane: &Plane, of: &str, rows: usize) -> JoinHandle<Told> {
        let request =
            self.sidecar.infer(INFER, &plane.passport(of)).body(flights(rows).to_string());
        tokio::spawn(async move {
            let answer = request.send().await.unwrap();
            let (status, again) = (answer.status(), answer.headers().contains_key(RETRY_AFTER));
            let body: serde_json::Value = answer.json().await.unwrap();
            (status, body["code"].as_str().unwrap_or_default().to_owned(), again)
        })
    }

    /// Waits until so many requests wait, and returns how much memory they hold.
    async fn waits_with(&self, count: usize) -> u64 {
        let waiting = async {
            while metric(&self.metrics, "bulkhead_sidecar_pool_waiting").await as usize != count {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
        metric(&self.metrics, "bulkhead_sidecar_pool_waiting_bytes").await as u64
    }
}

type Told = (StatusCode, String, bool);

fn served() -> Told {
    (StatusCode::OK, String::new(), false)
}

/// What one large request holds while it waits.
async fn bytes_of_one(plane: &Plane) -> u64 {
    let node = Node::start(plane, Capacity::DEFAULT_WAITING_BYTES).await;
    let first = node.ask(plane, "aa", ROWS);
    let bytes = node.waits_with(1).await;
    let rest = node.ask(plane, "dl", BATCH_ROWS as usize - ROWS);
    assert_eq!((first.await.unwrap(), rest.await.unwrap()), (served(), served()));
    assert_eq!(node.waits_with(0).await, 0);
    node.sidecar.stop().await;
    bytes
}

#[tokio::test]
async fn large_inputs_of_one_tenant_leave_its_neighbours_their_room() {
    let plane = two_who_wait().await;
    let one = bytes_of_one(&plane).await;
    // The elements alone, without what lists and strings take beside them.
    assert!(one > ROWS as u64 * 40, "{one} bytes for {ROWS} rows");
    let node = Node::start(&plane, one * 5 / 2).await;
    let first = node.ask(&plane, "aa", ROWS);
    node.waits_with(1).await;
    let newest = node.ask(&plane, "aa", ROWS);
    assert_eq!(node.waits_with(2).await, 2 * one);

    let overloaded = (StatusCode::SERVICE_UNAVAILABLE, "overloaded".to_owned(), true);
    assert_eq!(node.ask(&plane, "aa", ROWS).await.unwrap(), overloaded);
    let too_large = (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large".to_owned(), false);
    assert_eq!(node.ask(&plane, "dl", 4 * ROWS).await.unwrap(), too_large);

    // The neighbour has its half, and takes it of what came last.
    let neighbours = node.ask(&plane, "dl", ROWS);
    assert_eq!(newest.await.unwrap(), overloaded);
    assert_eq!(node.waits_with(2).await, 2 * one);
    let last = node.ask(&plane, "dl", FILL);
    for answer in [first, neighbours, last] {
        assert_eq!(answer.await.unwrap(), served());
    }
    let refused = "bulkhead_sidecar_refused_total{tenant=\"aa\",reason=\"queue_bytes_full\"}";
    assert_eq!(metric(&node.metrics, refused).await as u64, 2);
    assert_eq!(node.waits_with(0).await, 0);
    // What was refused is not metered; of the node before, two were.
    let events = plane.events(5).await;
    node.sidecar.stop().await;
    assert_eq!(events.len(), 5);
    assert_eq!(plane.held.lock().unwrap().events.len(), 5);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_room_that_it_had() {
    let plane = two_who_wait().await;
    let node = Node::start(&plane, Capacity::DEFAULT_WAITING_BYTES).await;
    let gone = node.ask(&plane, "aa", ROWS);
    assert!(node.waits_with(1).await > 0);
    gone.abort();
    assert_eq!(node.waits_with(0).await, 0);
    node.sidecar.stop().await;
}

#[tokio::test]
async fn a_body_is_decoded_once_its_model_is_there() {
    let mut plane = Plane::start().await;
    let nowhere = Digest::of(b"an artifact that the control plane does not have");
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", nowhere, &["ua"])]);
    let home = Home::new();
    let sidecar = home.start_ready(&plane).await;
    let unread = sidecar.infer(INFER, &plane.passport("ua")).body("[1, 2");
    let refused = answered(unread).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "model_unavailable")
    );
    sidecar.stop().await;
}
