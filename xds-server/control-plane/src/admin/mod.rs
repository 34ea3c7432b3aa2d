//! The HTTP interface: for operators (resources, status, usage), for proxies (code) and for
//! sidecars (artifacts, usage events).

mod artifacts;
mod error;
mod resources;
mod status;
mod usage;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use identity::KeySets;
use registry::{Ledger, Registry};
use xds::{Proxies, SnapshotStore};

use crate::{artifacts::ArtifactStore, publisher::Publisher, wasm::WasmModules};

/// The largest body of a request that is read whole, in bytes.
const MAX_BODY_BYTES: usize = 32 << 20;

/// What the interface works on.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) registry: Registry,
    pub(crate) ledger: Ledger,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) wasm: Arc<WasmModules>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) proxies: Proxies,
    pub(crate) store: SnapshotStore,
    pub(crate) keys: Arc<KeySets>,
}

/// Every path of the interface.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/v1/resources", get(resources::list).post(resources::apply))
        .route("/v1/resources/{kind}/{name}", delete(resources::remove))
        .route("/v1/journal", get(resources::journal))
        .route("/v1/status", get(status::status))
        .route("/v1/usage", get(usage::usage))
        .route("/v1/usage/reconcile", get(usage::reconcile))
        .route("/v1/usage/events", post(usage::record))
        .route(
            "/v1/artifacts/{digest}",
            get(artifacts::fetch).put(artifacts::store).layer(DefaultBodyLimit::disable()),
        )
        .route("/v1/wasm/{digest}", get(code))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}

async fn code(State(app): State<App>, Path(digest): Path<String>) -> Response {
    match digest.parse().ok().and_then(|digest| app.wasm.code(&digest)) {
        Some(code) => ([(header::CONTENT_TYPE, "application/wasm")], code).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no filter code with this digest").into_response(),
    }
}
