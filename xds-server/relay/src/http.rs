//! What an Envoy asks for beside ADS, at the same address: code by its digest, and somebody to tell
//! its counters to.

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{StatusCode, Version, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tenancy::Digest;
use tokio::sync::watch;
use tonic::{Status, body::Body};

use crate::{code::CodeFolder, stop_asked, upstream::Upstream};

/// Where Envoy tells its counters.
const METRICS: &str = "/envoy.service.metrics.v3.MetricsService/StreamMetrics";

#[derive(Clone)]
struct Parts {
    upstream: Upstream,
    code: CodeFolder,
    stopped: watch::Receiver<bool>,
}

/// What serves it.
pub(crate) fn router(
    upstream: Upstream,
    code: CodeFolder,
    stopped: watch::Receiver<bool>,
) -> Router {
    Router::new()
        .route("/v1/wasm/{digest}", get(serve_code))
        .route(METRICS, post(pass_on))
        .with_state(Parts { upstream, code, stopped })
}

/// Code is the same wherever it comes from, so what is here is not asked for.
async fn serve_code(State(parts): State<Parts>, Path(digest): Path<String>) -> Response {
    let Ok(digest) = digest.parse::<Digest>() else { return StatusCode::NOT_FOUND.into_response() };
    if let Some(code) = parts.code.get(digest).await {
        return ([(header::CONTENT_TYPE, "application/wasm")], code).into_response();
    }
    match parts.upstream.fetch(digest).await {
        Ok(Some(code)) => {
            parts.code.keep(digest, code.clone()).await;
            ([(header::CONTENT_TYPE, "application/wasm")], code).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(%digest, error, "an Envoy asks for code that is not here");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Passes on a stream as it is. What an Envoy tells are numbers since its start, so what nobody hears
/// is told again.
async fn pass_on(State(parts): State<Parts>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut onward = Request::new(Body::new(body));
    *onward.method_mut() = head.method;
    *onward.uri_mut() = head.uri;
    *onward.headers_mut() = head.headers;
    *onward.version_mut() = Version::HTTP_2;
    let answer = tokio::select! {
        answer = parts.upstream.pass_on(onward) => answer,
        () = stop_asked(parts.stopped) => Err(Status::unavailable("the relay is shutting down")),
    };
    answer.unwrap_or_else(|status| status.into_http()).map(axum::body::Body::new)
}
