//! Canaries over the control plane's own interfaces: the proxies are clients of the xDS server that
//! accept, refuse or say nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod setting;

use std::time::Duration;

use control_plane::Running;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use prost::Name as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use xds::client::{DeltaClient, Updates};

use setting::options;

/// Longer than anything here takes; a wait that ends by it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

struct Plane {
    _state: TempDir,
    running: Running,
    http: reqwest::Client,
}

fn tenant(burst: u32) -> String {
    format!(
        "apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {{name: shared}}
spec: {{region: eu-1, tiers: [pool], endpoints: [{{address: 127.0.0.1, port: 9001}}]}}
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {{name: org_a}}
spec: {{tier: pool, dataPlane: shared, rateLimit: {{requests: 1, burst: {burst}}}}}
"
    )
}

impl Plane {
    async fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let running = control_plane::start(options(state.path())).await.unwrap();
        Self { _state: state, running, http: identity::http_client().unwrap() }
    }

    async fn apply(&self, text: &str, canary: Option<Value>) -> (u16, Value) {
        let files = json!([{"name": "acme.yaml", "text": text}]);
        let body = match canary {
            Some(canary) => json!({"files": files, "canary": canary}),
            None => json!({"files": files}),
        };
        let url = format!("http://{}/v1/resources", self.running.http);
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn status(&self, node: &str) -> Value {
        let url = format!("http://{}/v1/status", self.running.http);
        let status: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let proxies = status["proxies"].as_array().unwrap().clone();
        proxies.into_iter().find(|proxy| proxy["node"] == node).expect("the proxy's status")
    }

    /// A gateway at a port of its own, which nobody listens at.
    fn gateway(&self, node: &str, port: u16) -> Gateway {
        let server = format!("http://{}", self.running.grpc);
        let updates = DeltaClient::new(&server, node)
            .unwrap()
            .metadata("role", "gateway")
            .metadata("listen", format!("127.0.0.1:{port}"))
            .subscribe(TypedExtensionConfig::type_url())
            .start();
        Gateway { updates, tables: Vec::new() }
    }
}

struct Gateway {
    updates: Updates,
    /// The versions that it was sent.
    tables: Vec<String>,
}

impl Gateway {
    /// Answers the next update that brings a table.
    async fn answer(&mut self, refusal: Option<&str>) {
        let waited = async {
            loop {
                let (update, responder) = self.updates.next().await.expect("an update");
                let Some(table) = update.upserts.first() else {
                    responder.ack();
                    continue;
                };
                self.tables.push(table.version.clone());
                match refusal {
                    Some(words) => responder.nack(words),
                    None => responder.ack(),
                }
                return;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.expect("an update in time");
    }

    fn is_told_nothing(&mut self) -> bool {
        let next = tokio::task::unconstrained(self.updates.next());
        futures_now(next).is_none()
    }
}

/// What a future has ready.
fn futures_now<F: Future>(future: F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_canary_that_refuses_goes_back_and_nobody_else_hears_of_it() {
    let plane = Plane::start().await;
    let mut one = plane.gateway("one", 8001);
    let mut two = plane.gateway("two", 8002);
    assert_eq!(plane.apply(&tenant(10), None).await.0, 200);
    settle(&plane, &mut [("one", &mut one), ("two", &mut two)]).await;
    let good = (one.tables.last().cloned(), two.tables.last().cloned());

    let candidate = tenant(11);
    let applied = plane.apply(&candidate, Some(json!({"proxy": "one", "patience_seconds": 20})));
    let refused = async {
        one.answer(Some("no such thing in my table")).await;
        // What was in force before.
        one.answer(None).await;
    };
    let ((status, problem), ()) = tokio::join!(applied, refused);
    assert_eq!((status, problem["code"].as_str()), (409, Some("canary_refused")), "{problem}");
    let refusal = &problem["refusals"][0];
    assert_eq!(refusal["proxy"], "one", "{problem}");
    assert_eq!(refusal["message"], "no such thing in my table");
    assert!(refusal["resource"].as_str().is_some_and(|it| it.contains("bulkhead.gate")));
    assert_eq!(one.tables.last(), good.0.as_ref());
    assert!(two.is_told_nothing(), "the other gateway was told of the candidate");
    let one = plane.status("one").await;
    assert_eq!(one["last_refusal"]["refusal"]["message"], "no such thing in my table", "{one}");
    assert_eq!(one["newest"], true, "{one}");
}

#[tokio::test]
async fn a_canary_that_accepts_keeps_what_everybody_then_gets() {
    let plane = Plane::start().await;
    let mut one = plane.gateway("one", 8001);
    let mut two = plane.gateway("two", 8002);
    assert_eq!(plane.apply(&tenant(10), None).await.0, 200);
    settle(&plane, &mut [("one", &mut one), ("two", &mut two)]).await;
    let before = one.tables.len();

    let candidate = tenant(11);
    let applied = plane.apply(&candidate, Some(json!({"proxy": "one", "patience_seconds": 20})));
    let ((status, answer), ()) = tokio::join!(applied, one.answer(None));
    assert_eq!(status, 200, "{answer}");
    two.answer(None).await;
    // Once as a canary, and not again with everybody else.
    assert_eq!(one.tables.len(), before + 1);
    assert!(one.is_told_nothing());
    assert_eq!(one.tables.last(), two.tables.last());
}

#[tokio::test]
async fn a_canary_that_says_nothing_is_a_refusal() {
    let plane = Plane::start().await;
    let mut one = plane.gateway("one", 8001);
    assert_eq!(plane.apply(&tenant(10), None).await.0, 200);
    settle(&plane, &mut [("one", &mut one)]).await;
    let canary = json!({"proxy": "one", "patience_seconds": 1});
    let (status, problem) = plane.apply(&tenant(11), Some(canary)).await;
    assert_eq!(status, 409, "{problem}");
    let nobody = json!({"proxy": "nobody", "patience_seconds": 1});
    let (status, problem) = plane.apply(&tenant(11), Some(nobody)).await;
    assert!((400..500).contains(&status), "{problem}");
    let (_, list) = plane.apply(&tenant(10), None).await;
    assert_eq!(list["changes"], json!([]), "the candidate was committed: {list}");
}

/// Accepts until every proxy runs the newest revision.
async fn settle(plane: &Plane, gateways: &mut [(&str, &mut Gateway)]) {
    let settled = async {
        for (node, gateway) in gateways {
            loop {
                while let Some(Some((update, responder))) = futures_now(gateway.updates.next()) {
                    gateway.tables.extend(update.upserts.first().map(|it| it.version.clone()));
                    responder.ack();
                }
                let url = format!("http://{}/v1/status", plane.running.http);
                let status = plane.http.get(url).send().await.unwrap();
                let status: Value = status.json().await.unwrap();
                let proxies = status["proxies"].as_array().unwrap();
                let found = proxies.iter().find(|proxy| proxy["node"] == *node);
                if found.is_some_and(|proxy| proxy["newest"] == true) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("the proxies to settle");
}
