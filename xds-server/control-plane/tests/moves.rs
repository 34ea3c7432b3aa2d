//! A tenant's move between data planes, as gateways and sidecars are told of it. They are clients
//! of the xDS server here, which answer when the test says so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod setting;

use std::time::Duration;

use control_plane::Running;
use envoy_types::pb::{
    envoy::{config::core::v3::TypedExtensionConfig, extensions::filters::http::wasm::v3::Wasm},
    google::protobuf::BytesValue,
};
use policy_model::{
    assignment::{NODE_ASSIGNMENT_TYPE, TENANT_ASSIGNMENT_TYPE},
    table::GateTable,
};
use prost::{Message as _, Name as _};
use serde_json::json;
use tempfile::TempDir;
use xds::client::{DeltaClient, Responder, Update, Updates};

use setting::options;

/// Longer than anything here takes; a wait that ends by it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough for what is not to come to have come.
const MOMENT: Duration = Duration::from_millis(300);

struct Plane {
    _state: TempDir,
    running: Running,
    http: reqwest::Client,
}

/// Tenant `org_a` at a data plane.
fn org_a(data_plane: &str, suspended: bool) -> String {
    let plane = |name: &str, port: u16| {
        format!(
            "apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {{name: {name}}}
spec: {{region: eu-1, tiers: [pool], endpoints: [{{address: 127.0.0.1, port: {port}}}]}}
---
"
        )
    };
    format!(
        "{}{}apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {{name: org_a}}
spec: {{tier: pool, dataPlane: {data_plane}, suspended: {suspended}}}
",
        plane("one", 9001),
        plane("two", 9002)
    )
}

impl Plane {
    async fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let running = control_plane::start(options(state.path())).await.unwrap();
        Self { _state: state, running, http: identity::http_client().unwrap() }
    }

    async fn apply(&self, text: &str) {
        let body = json!({"files": [{"name": "acme.yaml", "text": text}]});
        let url = format!("http://{}/v1/resources", self.running.http);
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        let status = answer.status();
        assert_eq!(status, 200, "{}", answer.text().await.unwrap());
    }

    fn client(&self, node: &str, metadata: &[(&str, &str)], types: &[&str]) -> Updates {
        let client = DeltaClient::new(&format!("http://{}", self.running.grpc), node).unwrap();
        let client =
            metadata.iter().fold(client, |client, (key, value)| client.metadata(*key, *value));
        types.iter().fold(client, |client, url| client.subscribe(*url)).start()
    }

    fn gateway(&self) -> Updates {
        let metadata = [("role", "gateway"), ("listen", "127.0.0.1:8001")];
        self.client("gateway", &metadata, &[&TypedExtensionConfig::type_url()])
    }

    fn sidecar(&self, data_plane: &str) -> Updates {
        let metadata = [("role", "sidecar"), ("data_plane", data_plane)];
        let types = [NODE_ASSIGNMENT_TYPE, TENANT_ASSIGNMENT_TYPE];
        self.client(&format!("sidecar-{data_plane}"), &metadata, &types)
    }
}

/// The next update that `is_it`; those before it are accepted.
async fn next(updates: &mut Updates, is_it: impl Fn(&Update) -> bool) -> (Update, Responder) {
    let waited = async {
        loop {
            let (update, responder) = updates.next().await.expect("an update");
            if is_it(&update) {
                return (update, responder);
            }
            responder.ack();
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("the update in time")
}

async fn is_told_nothing(updates: &mut Updates) -> bool {
    tokio::time::timeout(MOMENT, updates.next()).await.is_err()
}

fn names_org_a(update: &Update) -> bool {
    update.upserts.iter().any(|it| it.name == "org_a")
}

fn forgets_org_a(update: &Update) -> bool {
    update.removed.iter().any(|name| name == "org_a")
}

/// Where a gateway's table sends `org_a`, and whether that is suspended.
fn routed(update: &Update) -> Option<(String, bool)> {
    let config = TypedExtensionConfig::decode(update.upserts.first()?.value.clone()).unwrap();
    let wasm = Wasm::decode(config.typed_config.unwrap().value.as_slice()).unwrap();
    let configuration = wasm.config.unwrap().configuration.unwrap();
    let table = BytesValue::decode(configuration.value.as_slice()).unwrap().value;
    let table = GateTable::decode(&table).unwrap();
    let row = table.tenant(&"org_a".parse().unwrap())?;
    Some((row.data_plane.as_str().to_owned(), row.suspended))
}

/// A control plane with the tenant at `one`, and everybody knows it.
async fn settled() -> (Plane, Updates, Updates, Updates) {
    let plane = Plane::start().await;
    plane.apply(&org_a("one", false)).await;
    let (mut gateway, mut one, mut two) =
        (plane.gateway(), plane.sidecar("one"), plane.sidecar("two"));
    next(&mut one, names_org_a).await.1.ack();
    next(&mut two, |update| update.type_url == NODE_ASSIGNMENT_TYPE).await.1.ack();
    next(&mut gateway, |update| routed(update).is_some()).await.1.ack();
    // The first answer for tenants is an empty one.
    next(&mut two, |update| update.type_url == TENANT_ASSIGNMENT_TYPE).await.1.ack();
    (plane, gateway, one, two)
}

#[tokio::test]
async fn a_gateway_sends_a_tenant_to_a_data_plane_only_once_that_knows_it() {
    let (plane, mut gateway, mut one, mut two) = settled().await;
    plane.apply(&org_a("two", false)).await;
    let (_, responder) = next(&mut two, names_org_a).await;
    assert!(is_told_nothing(&mut gateway).await, "the new data plane has not answered yet");
    responder.ack();
    let (update, responder) = next(&mut gateway, |update| routed(update).is_some()).await;
    assert_eq!(routed(&update), Some(("two".to_owned(), false)));
    assert!(is_told_nothing(&mut one).await, "requests may be on their way to the old one");
    responder.ack();
}

#[tokio::test]
async fn a_data_plane_that_refuses_a_tenant_does_not_hold_it_for_ever() {
    let (plane, mut gateway, _one, mut two) = settled().await;
    plane.apply(&org_a("two", false)).await;
    let (_, responder) = next(&mut two, names_org_a).await;
    responder.nack("there is no room for it");
    let (update, responder) = next(&mut gateway, |update| routed(update).is_some()).await;
    assert_eq!(routed(&update), Some(("two".to_owned(), false)));
    responder.ack();
}

#[tokio::test]
async fn a_tenant_that_moves_and_is_suspended_is_refused_at_once() {
    let (plane, mut gateway, mut one, mut two) = settled().await;
    plane.apply(&org_a("two", true)).await;
    let (update, responder) = next(&mut gateway, |update| routed(update).is_some()).await;
    assert_eq!(routed(&update), Some(("two".to_owned(), true)));
    responder.ack();
    next(&mut one, forgets_org_a).await.1.ack();
    next(&mut two, names_org_a).await.1.ack();
}
