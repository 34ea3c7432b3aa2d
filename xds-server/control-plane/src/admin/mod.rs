//! The HTTP interface: for operators (resources, history, status, usage), for proxies (code) and for
//! sidecars (artifacts, usage events).
//!
//! A request passes [`guard`], which decides who may, before a handler sees it. Start there, then
//! [`change`], which is how resources are changed.

mod about;
mod artifacts;
mod change;
mod extract;
mod guard;
mod history;
mod local;
mod openapi;
mod operators;
mod problem;
mod resources;
mod rules;
mod status;
mod usage;
mod wasm;
mod wire;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware::from_fn_with_state};
use identity::KeySets;
use registry::{Ledger, Registry};
use tokio::sync::Mutex;
use utoipa::openapi::OpenApi;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};
use xds::{Proxies, SnapshotStore};

use self::{
    guard::{Guard, check, nothing_here},
    rules::Rules,
};
use crate::{
    artifacts::ArtifactStore, operators::Roster, publisher::Publisher, shadow::ShadowCounts,
    wasm::WasmModules,
};

/// The largest body of a request that is read whole, in bytes.
const MAX_BODY_BYTES: usize = 32 << 20;

/// What the interface works on.
pub(crate) struct Parts {
    pub(crate) registry: Registry,
    pub(crate) ledger: Ledger,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) wasm: Arc<WasmModules>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) proxies: Proxies,
    pub(crate) store: SnapshotStore,
    pub(crate) keys: Arc<KeySets>,
    /// What checks in shadow mode would have denied.
    pub(crate) shadow: ShadowCounts,
    /// Who may use it; nothing where it is for everybody on this machine.
    pub(crate) roster: Option<Arc<Roster>>,
}

/// What handlers work on.
#[derive(Clone)]
struct App {
    parts: Arc<Parts>,
    /// Held while a change is tried on some proxies: there is one trial at a time.
    canary: Arc<Mutex<()>>,
    api: Arc<serde_json::Value>,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// Every path of the interface.
pub(crate) fn router(parts: Parts) -> Router {
    let (router, api) = documented();
    let guard = Arc::new(Guard::new(parts.roster.clone(), Rules::of(&api)));
    let app = App {
        parts: Arc::new(parts),
        canary: Arc::default(),
        // Only maps with other keys than text make this fail: there are none.
        api: Arc::new(serde_json::to_value(&api).unwrap_or_default()),
    };
    router
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(guard, check))
        .with_state(app)
}

/// The interface's OpenAPI document.
pub fn openapi() -> OpenApi {
    documented().1
}

fn documented() -> (Router<App>, OpenApi) {
    let (router, mut api) = OpenApiRouter::with_openapi(openapi::start())
        .routes(routes!(about::healthz))
        .routes(routes!(openapi::document))
        .routes(routes!(operators::whoami))
        .routes(routes!(operators::list))
        .routes(routes!(resources::list, resources::apply))
        .routes(routes!(resources::remove))
        .routes(routes!(resources::diff))
        .routes(routes!(resources::rollback))
        .routes(routes!(history::history))
        .routes(routes!(history::journal))
        .routes(routes!(status::status))
        .routes(routes!(status::shadow))
        .routes(routes!(status::metrics))
        .routes(routes!(usage::usage))
        .routes(routes!(usage::reconcile))
        .routes(routes!(usage::record))
        .routes(routes!(artifacts::fetch, artifacts::store).layer(DefaultBodyLimit::disable()))
        .routes(routes!(wasm::code))
        .split_for_parts();
    openapi::complete(&mut api);
    (router, api)
}
