//! A control plane in this process: assignments by xDS, artifacts and usage events by HTTP.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::value::Kind;
use metering::UsageEvent;
use passport::{Passport, SigningKey};
use policy_model::assignment::{
    AssignedModel, NODE_ASSIGNMENT_TYPE, NodeAssignment, PassportKey, Serving,
    TENANT_ASSIGNMENT_TYPE, TenantAssignment,
};
use prost::Message;
use serde::Deserialize;
use tenancy::Digest;
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use uuid::Uuid;
use xds::{AdsService, Proxies, Snapshot, SnapshotStore};

pub const PLANE: &str = "shared";
/// Long enough for any machine; only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the HTTP side holds.
#[derive(Default)]
pub struct Held {
    pub artifacts: HashMap<String, Bytes>,
    pub events: BTreeMap<Uuid, UsageEvent>,
    pub deliveries: usize,
    /// The token that it asks for, where it does.
    pub token: Option<String>,
}

pub struct Plane {
    pub held: Arc<Mutex<Held>>,
    pub proxies: Proxies,
    pub key: SigningKey,
    pub tenants: BTreeMap<String, TenantAssignment>,
    /// How its nodes serve, where it says.
    pub serving: Option<Serving>,
    store: SnapshotStore,
    xds: SocketAddr,
    control: SocketAddr,
    tasks: Vec<AbortHandle>,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Plane {
    pub async fn start() -> Self {
        let (store, proxies) = (SnapshotStore::new(), Proxies::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let xds = listener.local_addr().unwrap();
        let ads = AdsService::new(store.clone(), group_of, proxies.clone()).into_server();
        let ads = tonic::transport::Server::builder()
            .add_service(ads)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = listener.local_addr().unwrap();
        let held: Arc<Mutex<Held>> = Arc::default();
        let router = Router::new()
            .route("/v1/artifacts/{digest}", get(artifact))
            .route("/v1/usage/events", post(usage))
            .layer(from_fn_with_state(Arc::clone(&held), admit))
            .with_state(Arc::clone(&held));
        let tasks = vec![
            tokio::spawn(async move { ads.await.unwrap() }).abort_handle(),
            tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
                .abort_handle(),
        ];
        let (key, tenants) = (SigningKey::generate(), BTreeMap::new());
        let serving = None;
        Self { held, proxies, key, tenants, serving, store, xds, control, tasks }
    }

    /// Nobody answers at either address any more.
    pub fn stop(&mut self) {
        self.store.close();
        self.tasks.drain(..).for_each(|task| task.abort());
    }

    pub fn xds(&self) -> String {
        format!("http://{}", self.xds)
    }

    pub fn control(&self) -> String {
        format!("http://{}", self.control)
    }

    /// Keeps `bytes` as an artifact and returns its digest.
    pub fn artifact(&self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.held.lock().unwrap().artifacts.insert(digest.to_string(), bytes);
        digest
    }

    pub fn assign(&mut self, tenant: &str, tier: &str, models: Vec<AssignedModel>) {
        let assignment = TenantAssignment {
            tenant: tenant.to_owned(),
            tier: tier.to_owned(),
            models,
            ..Default::default()
        };
        self.tenants.insert(tenant.to_owned(), assignment);
    }

    /// Pushes what is assigned and waits until every sidecar has answered.
    pub async fn push(&self) -> xds::Progress {
        let key = self.key.verifying_key();
        let node = NodeAssignment {
            data_plane: PLANE.to_owned(),
            region: "us-east-1".to_owned(),
            passport_keys: vec![PassportKey { id: key.id, public_key: key.bytes }],
            serving: self.serving.clone(),
        };
        let mut snapshot =
            Snapshot::builder().resource(NODE_ASSIGNMENT_TYPE, PLANE, node.encode_to_vec());
        for (name, tenant) in &self.tenants {
            snapshot = snapshot.resource(TENANT_ASSIGNMENT_TYPE, name, tenant.encode_to_vec());
        }
        let snapshot = snapshot.build();
        self.store.set(PLANE, snapshot.clone());
        self.proxies.settled(PLANE, &snapshot, PATIENCE).await
    }

    pub fn passport(&self, tenant: &str) -> String {
        self.passport_for(tenant, PLANE, 60)
    }

    pub fn passport_for(&self, tenant: &str, data_plane: &str, lifetime_secs: u64) -> String {
        let passport = Passport {
            tenant: tenant.parse().unwrap(),
            tier: tenancy::Tier::Pool,
            data_plane: data_plane.parse().unwrap(),
            revision: "0123456789abcdef".to_owned(),
        };
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        self.key.mint(&passport, now, lifetime_secs).unwrap()
    }

    /// The usage events, each id once, as soon as there are `count`.
    pub async fn events(&self, count: usize) -> Vec<UsageEvent> {
        until("usage events", || {
            let held = self.held.lock().unwrap();
            (held.events.len() >= count).then(|| held.events.values().cloned().collect())
        })
        .await
    }
}

/// Asks again and again until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            match ask() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

/// One version of a model named `name`, in the registry as `registry`.
pub fn model(
    name: &str,
    version: &str,
    registry: &str,
    digest: Digest,
    trained_on: &[&str],
) -> AssignedModel {
    AssignedModel {
        name: name.to_owned(),
        version: version.to_owned(),
        default: true,
        model: registry.to_owned(),
        digest: digest.to_string(),
        trained_on: trained_on.iter().map(|org| (*org).to_owned()).collect(),
        base: None,
    }
}

async fn admit(
    State(held): State<Arc<Mutex<Held>>>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let expected = held.lock().unwrap().token.as_ref().map(|token| format!("Bearer {token}"));
    let shown = request.headers().get("authorization").and_then(|it| it.to_str().ok());
    if shown != expected.as_deref() {
        return Err(StatusCode::UNAUTHORIZED);
    }
    Ok(next.run(request).await)
}

fn group_of(node: &Node) -> Result<String, Status> {
    let text = |key: &str| {
        let value = node.metadata.as_ref()?.fields.get(key)?.kind.as_ref()?;
        if let Kind::StringValue(text) = value { Some(text.clone()) } else { None }
    };
    match (text("role").as_deref(), text("data_plane")) {
        (Some("sidecar"), Some(plane)) => Ok(plane),
        other => Err(Status::permission_denied(format!("{other:?}"))),
    }
}

async fn artifact(
    State(held): State<Arc<Mutex<Held>>>,
    Path(digest): Path<String>,
) -> Result<Bytes, StatusCode> {
    held.lock().unwrap().artifacts.get(&digest).cloned().ok_or(StatusCode::NOT_FOUND)
}

#[derive(Deserialize)]
struct Events {
    events: Vec<UsageEvent>,
}

async fn usage(State(held): State<Arc<Mutex<Held>>>, Json(body): Json<Events>) {
    let mut held = held.lock().unwrap();
    held.deliveries += body.events.len();
    for event in body.events {
        held.events.insert(event.id, event);
    }
}
