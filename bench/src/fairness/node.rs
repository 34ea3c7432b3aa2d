//! Sidecars, and what of a control plane they need.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use axum::{
    Router,
    routing::{get, post},
};
use bytes::Bytes;
use devstack::{
    environment, http,
    process::{Launch, Service},
    until,
};
use passport::{Passport, SigningKey};
use policy_model::assignment::{
    AssignedModel, NODE_ASSIGNMENT_TYPE, NodeAssignment, PassportKey, TENANT_ASSIGNMENT_TYPE,
    TenantAssignment,
};
use prost::Message;
use serde_json::json;
use tempfile::TempDir;
use tenancy::Digest;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use xds::{AdsService, Proxies, Snapshot, SnapshotStore};

use super::model;

const PLANE: &str = "bench";
const PATIENCE: Duration = Duration::from_secs(60);
/// As long as a passport may live.
const PASSPORT_SECONDS: u64 = 60;

/// Tenants and their one model, pushed to whoever asks.
pub(super) struct Plane {
    key: SigningKey,
    xds: SocketAddr,
    control: SocketAddr,
    body: Bytes,
    folder: TempDir,
}

/// A sidecar that serves them. Dropping it stops it.
pub(super) struct Node {
    _service: Service,
    socket: PathBuf,
}

impl Plane {
    /// Serves `tenants`, all alike, who share a model.
    pub(super) async fn start(tenants: impl Iterator<Item = &String>) -> Result<Self> {
        let (key, artifact) = (SigningKey::generate(), Bytes::from(model::onnx()));
        let tenants: Vec<String> = tenants.cloned().collect();
        let store = SnapshotStore::new();
        store.set(PLANE, snapshot(&key, &tenants, &Digest::of(&artifact)));
        let ads = AdsService::new(store, |_: &_| Ok(PLANE.to_owned()), Proxies::new());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let xds = listener.local_addr()?;
        let ads = tonic::transport::Server::builder().add_service(ads.into_server());
        tokio::spawn(ads.serve_with_incoming(TcpListenerStream::new(listener)));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let control = listener.local_addr()?;
        let router = Router::new()
            .route("/v1/artifacts/{digest}", get(move || async move { artifact }))
            .route("/v1/usage/events", post(|| async {}));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let values: Vec<f32> = (0..model::STEPS).map(|n| n as f32 / 64.0).collect();
        let body = json!({"inputs": [{
            "name": "x", "datatype": "FP32", "shape": [1, model::STEPS, 1], "data": values,
        }]});
        let folder = TempDir::with_prefix("bulkhead-fairness-")?;
        Ok(Self { key, xds, control, body: Bytes::from(body.to_string()), folder })
    }

    /// Starts a sidecar that runs requests in this order on these processors, and waits until it
    /// answers.
    pub(super) async fn sidecar(&self, order: &str, processors: &str) -> Result<Node> {
        let folder = self.folder.path();
        let socket = folder.join(format!("{order}.sock"));
        let launch = Launch::new(order, environment::bulkhead()?, folder)
            .args(["sidecar", "--order", order, "--node-id", order, "--data-plane", PLANE])
            .args(["--state".into(), folder.join(order).into_os_string()])
            .args(["--listen".to_owned(), format!("unix:{}", socket.display())])
            .args(["--xds".to_owned(), format!("http://{}", self.xds)])
            .args(["--control".to_owned(), format!("http://{}", self.control)])
            .args(["--cpus", processors]);
        let service = Service::start(launch)?;
        until("a sidecar to be ready", PATIENCE, async || {
            service.check()?;
            let answer = http::get_unix(&socket, "/v2/health/ready").await;
            Ok(answer.is_ok_and(|answer| answer.status.is_success()).then_some(()))
        })
        .await
        .with_context(|| service.log_tail(20))?;
        Ok(Node { _service: service, socket })
    }

    /// A passport for a measurement.
    pub(super) fn passport(&self, tenant: &str) -> Result<String> {
        let passport = Passport {
            tenant: tenant.parse()?,
            tier: tenancy::Tier::Pool,
            data_plane: PLANE.parse()?,
            revision: "0".repeat(16),
        };
        let now = UNIX_EPOCH.elapsed()?.as_secs();
        Ok(self.key.mint(&passport, now, PASSPORT_SECONDS)?)
    }

    /// The request, for one row.
    pub(super) fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl Node {
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

fn snapshot(key: &SigningKey, tenants: &[String], digest: &Digest) -> Snapshot {
    let key = key.verifying_key();
    let node = NodeAssignment {
        data_plane: PLANE.to_owned(),
        region: "here".to_owned(),
        passport_keys: vec![PassportKey { id: key.id, public_key: key.bytes }],
        ..NodeAssignment::default()
    };
    let model = AssignedModel {
        name: "m".to_owned(),
        version: "1".to_owned(),
        default: true,
        model: "m".to_owned(),
        digest: digest.to_string(),
        trained_on: tenants.to_vec(),
        base: None,
    };
    let mut snapshot =
        Snapshot::builder().resource(NODE_ASSIGNMENT_TYPE, PLANE, node.encode_to_vec());
    for tenant in tenants {
        let assignment = TenantAssignment {
            tenant: tenant.clone(),
            tier: "pool".to_owned(),
            models: vec![model.clone()],
            ..TenantAssignment::default()
        };
        snapshot = snapshot.resource(TENANT_ASSIGNMENT_TYPE, tenant, assignment.encode_to_vec());
    }
    snapshot.build()
}
