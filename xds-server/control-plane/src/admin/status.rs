//! Who runs what, and what shadow checks counted.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use xds::{ProxyStatus, RefusedBy};

use super::{App, wire};
use crate::shadow::ShadowCount;

/// Who runs what.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// The revision of the gate's table that is in force; empty before the first was made.
    revision: String,
    /// The last entry of the journal.
    seq: u64,
    /// The newest change set.
    changed_seq: u64,
    /// The journal entry of a change that is being tried on some proxies.
    canary: Option<u64>,
    /// How far each group of proxies has come.
    groups: Vec<Group>,
    /// Every proxy that is connected, and the newest of those that have gone.
    proxies: Vec<Proxy>,
    /// How the issuers' keys were come by, by `iss`.
    #[schema(value_type = BTreeMap<String, Object>)]
    issuers: BTreeMap<String, identity::IssuerStatus>,
}

/// Proxies that are sent the same.
#[derive(Serialize, ToSchema)]
pub(super) struct Group {
    /// Its name.
    group: String,
    /// Whether every connected proxy has accepted or refused all there is.
    settled: bool,
    /// Who has all of it in force.
    accepted: Vec<String>,
    /// What was refused, by whom and why.
    #[schema(value_type = Vec<Object>)]
    refused: Vec<RefusedBy>,
    /// Who has not answered yet.
    waiting: Vec<String>,
}

/// A proxy and what it runs.
#[derive(Serialize, ToSchema)]
pub(super) struct Proxy {
    #[serde(flatten)]
    #[schema(value_type = ProxySchema)]
    status: ProxyStatus,
    /// The revision that it has in force, where that is known.
    revision: Option<String>,
    /// For how many seconds.
    age_seconds: Option<u64>,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Whether that is what its group was sent last.
    newest: Option<bool>,
    /// Whether it is trying a change that the others do not have.
    canary: bool,
}

/// A proxy as it says it is.
#[derive(ToSchema)]
#[schema(as = ProxyStatus)]
#[allow(dead_code, reason = "it describes xds::ProxyStatus")]
struct ProxySchema {
    /// The node id that it gave.
    node: String,
    /// The group whose snapshot it is served.
    group: String,
    /// Who it says it is, such as `envoy 1.40.0`.
    user_agent: String,
    /// The form of the protocol that it speaks.
    variant: String,
    /// When its stream was opened.
    #[schema(format = DateTime)]
    connected_since: String,
    /// When its stream ended, or nothing while it is connected.
    #[schema(format = DateTime)]
    gone_since: Option<String>,
    /// What it subscribed to, by type URL: what was sent, what is in force since when, and what it
    /// refuses.
    types: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// What it refused last, whether or not it has taken something since.
    last_refusal: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The revision in force, how far each group of proxies has come with it, every proxy with its
/// revision and its last refusal in its own words, and how the issuers' keys were come by.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "status",
    responses((status = 200, description = "Who runs what.", body = Status)),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn status(State(app): State<App>) -> Json<Status> {
    let state = app.registry.state();
    Json(Status {
        revision: app.publisher.revision(),
        seq: state.seq,
        changed_seq: state.changed_seq,
        canary: state.canary,
        groups: app.publisher.groups().into_iter().filter_map(|it| group(&app, it)).collect(),
        proxies: app.proxies.list().into_iter().map(|it| proxy(&app, it)).collect(),
        issuers: app.keys.status().as_ref().clone(),
    })
}

fn group(app: &App, group: String) -> Option<Group> {
    let progress = app.proxies.progress(&group, &app.store.get(&group)?);
    // Gateways wait while a data plane learns of a tenant that moves to it.
    let settled = progress.is_settled() && !app.publisher.is_held_back(&group);
    Some(Group {
        group,
        settled,
        accepted: progress.accepted,
        refused: progress.refused,
        waiting: progress.waiting,
    })
}

fn proxy(app: &App, status: ProxyStatus) -> Proxy {
    let in_force = app.publisher.in_force(&status);
    Proxy {
        revision: in_force.as_ref().map(|it| it.revision.clone()),
        age_seconds: in_force.as_ref().map(|it| it.age_seconds),
        since: in_force.as_ref().map(|it| it.since),
        newest: in_force.as_ref().map(|it| it.newest),
        canary: app.publisher.is_canary(&status),
        status,
    }
}

/// How often each shadow check would have denied each tenant.
#[utoipa::path(
    get,
    path = "/v1/shadow",
    tag = "status",
    responses((status = 200, description = "What was counted.", body = wire::Shadow)),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn shadow(State(app): State<App>) -> Json<wire::Shadow> {
    let checks = checks(&app);
    let counts = app.shadow.counts(|name| checks.contains(name)).into_iter();
    let counts = counts.map(|ShadowCount { check, tenant, count, since }| wire::ShadowCount {
        check,
        tenant,
        count,
        since,
    });
    Json(wire::Shadow { counts: counts.collect() })
}

/// The same by proxy, for Prometheus.
#[utoipa::path(
    get,
    path = "/v1/metrics",
    tag = "status",
    responses((status = 200, description = "Prometheus' text format.", content_type = "text/plain", body = String)),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let checks = checks(&app);
    let text = app.shadow.prometheus(|name| checks.contains(name));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

fn checks(app: &App) -> BTreeSet<String> {
    app.registry.state().resolved.checks.keys().map(ToString::to_string).collect()
}
