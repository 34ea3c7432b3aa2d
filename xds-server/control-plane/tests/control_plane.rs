//! The control plane over its own interfaces: HTTP as operators and sidecars use it, xDS as
//! proxies and sidecars do. Real Envoys are in the workspace's end-to-end tests.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod setting;

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use control_plane::{Options, Running};
use passport::seal::SealKey;
use policy_model::{
    assignment::{NODE_ASSIGNMENT_TYPE, NodeAssignment, TENANT_ASSIGNMENT_TYPE, TenantAssignment},
    table::GateTable,
};
use prost::Message as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tenancy::Digest;
use xds::client::{DeltaClient, Updates};

use setting::{SEAL_KEY, options};

/// Longer than anything here takes; a wait that ends by it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

struct Plane {
    state: TempDir,
    running: Running,
    http: reqwest::Client,
}

impl Plane {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(state: TempDir) -> Self {
        let http = identity::http_client().unwrap();
        let running = control_plane::start(options(state.path())).await.unwrap();
        Self { state, running, http }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http)
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(self.url(path)).send().await.unwrap().json().await.unwrap()
    }

    async fn apply(&self, text: &str) -> (u16, Value) {
        let body = json!({"files": [{"name": "acme.yaml", "text": text}]});
        let answer = self.http.post(self.url("/v1/resources")).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    fn sidecar(&self, data_plane: &str) -> Updates {
        DeltaClient::new(&format!("http://{}", self.running.grpc), format!("sidecar-{data_plane}"))
            .unwrap()
            .metadata("role", "sidecar")
            .metadata("data_plane", data_plane)
            .subscribe(NODE_ASSIGNMENT_TYPE)
            .subscribe(TENANT_ASSIGNMENT_TYPE)
            .start()
    }
}

fn acme() -> String {
    let digest = Digest::of(b"onnx");
    format!(
        "apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {{name: shared}}
spec: {{region: eu-1, tiers: [pool, bridge], endpoints: [{{address: 127.0.0.1, port: 9001}}]}}
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {{name: silo-b}}
spec: {{region: us-1, tiers: [silo], exclusiveTo: org_b, endpoints: []}}
---
apiVersion: bulkhead.dev/v1
kind: Model
metadata: {{name: price-a}}
spec:
  versions:
    - {{version: '1', artifact: a.onnx, digest: '{digest}', trainedOn: [org_a]}}
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {{name: org_a}}
spec:
  tier: bridge
  dataPlane: shared
  models: [{{name: price, model: price-a, version: '1'}}]
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {{name: org_b}}
spec: {{tier: silo, dataPlane: silo-b}}
"
    )
}

/// The next update of a type, acknowledged.
async fn next(updates: &mut Updates, type_url: &str) -> Vec<(String, Vec<u8>)> {
    let waited = async {
        loop {
            let (update, responder) = updates.next().await.unwrap();
            responder.ack();
            if update.type_url == type_url && !update.upserts.is_empty() {
                return update.upserts;
            }
        }
    };
    let upserts = tokio::time::timeout(PATIENCE, waited).await.expect("no update came");
    upserts.into_iter().map(|upsert| (upsert.name, upsert.value.to_vec())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_reaches_the_sidecar_of_the_tenants_data_plane_and_no_other() {
    let plane = Plane::start().await;
    let (status, answer) = plane.apply(&acme()).await;
    assert_eq!(status, 200, "{answer}");

    let mut shared = plane.sidecar("shared");
    let (node, tenants) = (
        next(&mut shared, NODE_ASSIGNMENT_TYPE).await,
        next(&mut shared, TENANT_ASSIGNMENT_TYPE).await,
    );
    let node = NodeAssignment::decode(node[0].1.as_slice()).unwrap();
    assert_eq!((node.data_plane.as_str(), node.region.as_str()), ("shared", "eu-1"));
    assert_eq!(node.passport_keys.len(), 1);
    let names: Vec<&str> = tenants.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["org_a"], "a silo's tenant is nobody else's business");
    let tenant = TenantAssignment::decode(tenants[0].1.as_slice()).unwrap();
    assert_eq!(tenant.models[0].digest, Digest::of(b"onnx").to_string());
    assert_eq!(tenant.models[0].trained_on, ["org_a"]);

    let changed =
        acme().replace("org_a}", "org_a, labels: {plan: gold}}").replace("price,", "cost,");
    let (status, answer) = plane.apply(&changed).await;
    assert_eq!(status, 200, "{answer}");
    let tenants = next(&mut shared, TENANT_ASSIGNMENT_TYPE).await;
    let tenant = TenantAssignment::decode(tenants[0].1.as_slice()).unwrap();
    assert_eq!(tenant.models[0].name, "cost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_refused_whole_with_its_place() {
    let plane = Plane::start().await;
    let before = plane.get("/v1/resources").await;
    let (status, answer) = plane.apply(&acme().replace("tier: bridge", "teir: bridge")).await;
    assert_eq!(status, 422);
    let diagnostic = &answer["diagnostics"][0];
    assert_eq!(diagnostic["origin"]["file"], "acme.yaml");
    assert!(diagnostic["message"].as_str().unwrap().contains("teir"), "{diagnostic}");
    assert_eq!(diagnostic["origin"]["line"], 22, "{diagnostic}");
    // The entry that notes which revision was published may come at any time.
    let after = plane.get("/v1/resources").await;
    assert_eq!(after["resources"], before["resources"], "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_kept_only_under_its_own_digest() {
    let plane = Plane::start().await;
    let digest = Digest::of(b"onnx");
    let url = plane.url(&format!("/v1/artifacts/{digest}"));
    let wrong = plane.http.put(&url).body("something else").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().await.unwrap().contains(&Digest::of(b"something else").to_string()));
    assert_eq!(plane.http.get(&url).send().await.unwrap().status(), 404);

    let large = vec![7_u8; 3 << 20];
    let url = plane.url(&format!("/v1/artifacts/{}", Digest::of(&large)));
    assert_eq!(plane.http.put(&url).body(large.clone()).send().await.unwrap().status(), 200);
    let fetched = plane.http.get(&url).send().await.unwrap().bytes().await.unwrap();
    assert!(fetched == large);
    assert_eq!(plane.http.head(&url).send().await.unwrap().status(), 200);
    let entries = plane.get("/v1/journal").await;
    assert!(entries["entries"].as_array().unwrap().iter().any(|e| e["kind"] == "ArtifactStored"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_usage_event_that_is_sent_twice_counts_once() {
    let plane = Plane::start().await;
    let event = json!({
        "id": "01935000-0000-7000-8000-000000000001", "tenant": "org_a",
        "metric": "prediction_rows", "quantity": 3, "model": "price-a", "version": "1",
        "data_plane": "shared", "region": "eu-1",
        "timestamp": 1_763_000_000_000_000_u64, "latency": 900,
    });
    for expected in [
        json!({"new": 1, "duplicates": 0, "quarantined": 0}),
        json!({"new": 0, "duplicates": 1, "quarantined": 0}),
    ] {
        let answer = plane
            .http
            .post(plane.url("/v1/usage/events"))
            .json(&json!({"events": [event]}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap(), expected);
    }
    let usage = plane.get("/v1/usage?tenant=org_a&period=2025-11&granularity=month").await;
    assert_eq!((&usage["total"], &usage["events"]), (&json!(3), &json!(1)));
    assert_eq!(plane.get("/v1/usage?tenant=org_b&period=2025-11").await["total"], 0);
    assert_eq!(plane.get("/v1/usage/reconcile?period=2025-11").await["agrees"], true);
    let bad = plane.http.get(plane.url("/v1/usage?period=november")).send().await.unwrap();
    assert_eq!(bad.status(), 400);
    assert!(bad.text().await.unwrap().contains("2026-11-21"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_is_sent_shows_no_secret_and_is_the_same_after_a_restart() {
    let plane = Plane::start().await;
    plane.apply(&acme()).await;
    let key_file = plane.state.path().join("state/passport.key");
    let secret = std::fs::read(&key_file).unwrap();
    assert_eq!(std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);

    let group = gateway_group(&plane).await;
    let sent = plane.running.store.get(&group).unwrap();
    let everything: Vec<Vec<u8>> = sent
        .type_urls()
        .flat_map(|url| sent.of_type(url).iter())
        .map(|(_, resource)| resource.value().to_vec())
        .collect();
    let seal_key = SealKey::from_hex(SEAL_KEY).unwrap();
    for resource in &everything {
        assert!(!contains(resource, &secret[..32]), "the signing key is in clear");
        assert!(!contains(resource, seal_key.to_hex().as_bytes()), "the seal key is in clear");
    }
    let filter = sent.of_type(xds::type_url::EXTENSION).iter().next().unwrap().1;
    let at = filter.value().windows(8).position(|w| w == b"BHTABLE2").unwrap();
    let table = (1..=filter.value().len() - at)
        .rev()
        .find_map(|length| GateTable::decode(&filter.value()[at..at + length]).ok())
        .expect("the table is in the filter's configuration");
    let sealed = table.passport_key();
    let opened = seal_key.open(&sealed.key_id, &sealed.nonce, &sealed.ciphertext).unwrap();
    assert_eq!(opened.to_bytes(), secret);
    let revision = table.revision().to_owned();

    let Plane { state, running, .. } = plane;
    running.stop().await.unwrap();
    let plane = Plane::start_in(state).await;
    let group = gateway_group(&plane).await;
    assert!(plane.running.store.get(&group).is_some());
    assert_eq!(plane.get("/v1/status").await["revision"], revision);
}

/// Connects as a gateway and returns the group that it is in.
async fn gateway_group(plane: &Plane) -> String {
    let mut updates = DeltaClient::new(&format!("http://{}", plane.running.grpc), "ingress-1")
        .unwrap()
        .metadata("role", "gateway")
        .metadata("listen", "127.0.0.1:8080")
        .subscribe(xds::type_url::CLUSTER)
        .start();
    let clusters = next(&mut updates, xds::type_url::CLUSTER).await;
    let names: Vec<&str> = clusters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["data-plane/shared", "data-plane/silo-b"]);
    "gateway/127.0.0.1:8080".to_owned()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let exposed = Options { http: ([0, 0, 0, 0], 0).into(), ..options(state.path()) };
    let refusal = control_plane::start(exposed).await.err().expect("it started");
    assert!(refusal.to_string().contains("--http"), "{refusal}");
}
