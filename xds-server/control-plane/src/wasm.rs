//! The filters' code, as it was built, by its digest. It is the same for everybody and no secret:
//! proxies fetch it where they have their xDS from, and operators by the HTTP interface, to compare.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router, extract,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use tenancy::Digest;

/// The filters' names; their files are `{name}.wasm`.
pub(crate) const FILTERS: [&str; 2] = ["gate", "recheck"];

/// The code of every filter.
pub(crate) struct WasmModules {
    digests: BTreeMap<&'static str, Digest>,
    code: BTreeMap<Digest, Bytes>,
}

impl WasmModules {
    /// Reads the filters' files from `folder`.
    pub(crate) fn load(folder: &Path) -> anyhow::Result<Self> {
        let mut modules = Self { digests: BTreeMap::new(), code: BTreeMap::new() };
        for name in FILTERS {
            let path = folder.join(format!("{name}.wasm"));
            let code = std::fs::read(&path).with_context(|| {
                format!("cannot read {}; build it with `cargo xtask wasm`", path.display())
            })?;
            let digest = Digest::of(&code);
            modules.digests.insert(name, digest);
            modules.code.insert(digest, code.into());
        }
        Ok(modules)
    }

    /// The digest of a filter's code.
    pub(crate) fn digest(&self, name: &str) -> anyhow::Result<Digest> {
        self.digests.get(name).copied().with_context(|| format!("there is no filter `{name}`"))
    }

    /// The code with this digest.
    pub(crate) fn code(&self, digest: &Digest) -> Option<Bytes> {
        self.code.get(digest).cloned()
    }
}

/// Where the code with this digest is fetched.
pub(crate) fn code_path(digest: &Digest) -> String {
    format!("/v1/wasm/{digest}")
}

/// What serves it.
pub(crate) fn router(modules: Arc<WasmModules>) -> Router {
    Router::new().route("/v1/wasm/{digest}", get(serve)).with_state(modules)
}

async fn serve(
    extract::State(modules): extract::State<Arc<WasmModules>>,
    extract::Path(digest): extract::Path<String>,
) -> Response {
    match digest.parse().ok().and_then(|digest| modules.code(&digest)) {
        Some(code) => ([(header::CONTENT_TYPE, "application/wasm")], code).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
