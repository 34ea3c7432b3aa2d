//! What the development issuer answers over HTTP.

use std::sync::Arc;

use axum::{
    Form, Json, Router,
    extract::{Path, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{NOTICE, Shared, TokenOptions};

/// How long a key set may be kept. Short, so that a rotation is seen while somebody watches; the
/// control plane asks no issuer more often.
const KEY_SET_MAX_AGE: &str = "max-age=30";

/// The longest life of a token, in seconds.
const MAX_EXPIRES_IN: i64 = 24 * 3600;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/{org}/.well-known/openid-configuration", get(discovery))
        .route("/{org}/jwks", get(key_set))
        .route("/{org}/token", post(token))
        .with_state(shared)
}

async fn index(State(shared): State<Arc<Shared>>) -> Response {
    let issuers: Vec<String> =
        shared.read(|orgs| orgs.keys().map(|org| shared.issuer_url(org.as_str())).collect());
    answer(StatusCode::OK, "no-store", json!({ "notice": NOTICE, "issuers": issuers }))
}

async fn discovery(State(shared): State<Arc<Shared>>, Path(org): Path<String>) -> Response {
    if !shared.speaks_for(&org) {
        return not_found();
    }
    let issuer = shared.issuer_url(&org);
    let document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks"),
        "token_endpoint": format!("{issuer}/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        "notice": NOTICE,
    });
    answer(StatusCode::OK, KEY_SET_MAX_AGE, document)
}

async fn key_set(State(shared): State<Arc<Shared>>, Path(org): Path<String>) -> Response {
    match shared.key_set(&org) {
        Some(keys) => answer(StatusCode::OK, KEY_SET_MAX_AGE, keys),
        None => not_found(),
    }
}

/// The form of RFC 6749, section 4.4.2, with an `audience` as Auth0 and others take it, and an
/// `expires_in` of our own. Who the client is, is not asked.
#[derive(Deserialize)]
struct TokenRequest {
    grant_type: Option<String>,
    client_id: Option<String>,
    audience: Option<String>,
    expires_in: Option<i64>,
}

async fn token(
    State(shared): State<Arc<Shared>>,
    Path(org): Path<String>,
    Form(request): Form<TokenRequest>,
) -> Response {
    if !shared.speaks_for(&org) {
        return not_found();
    }
    if request.grant_type.as_deref() != Some("client_credentials") {
        return refused("unsupported_grant_type", "expected grant_type=client_credentials");
    }
    let mut options = TokenOptions::default();
    options.expires_in = request.expires_in.unwrap_or(options.expires_in);
    if !(1..=MAX_EXPIRES_IN).contains(&options.expires_in) {
        return refused("invalid_request", "expected expires_in to be 1 to 86400 seconds");
    }
    options.audience = request.audience.unwrap_or(options.audience);
    options.subject = request.client_id.unwrap_or(options.subject);
    match shared.token(&org, &options) {
        Ok(token) => answer(
            StatusCode::OK,
            "no-store",
            json!({
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": options.expires_in,
                "notice": NOTICE,
            }),
        ),
        Err(error) => refused("invalid_request", &format!("{error:#}")),
    }
}

fn refused(code: &str, description: &str) -> Response {
    let body = json!({ "error": code, "error_description": description });
    answer(StatusCode::BAD_REQUEST, "no-store", body)
}

fn not_found() -> Response {
    answer(
        StatusCode::NOT_FOUND,
        "no-store",
        json!({ "error": "no such issuer", "notice": NOTICE }),
    )
}

fn answer(status: StatusCode, cache: &'static str, body: Value) -> Response {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        (HeaderName::from_static("x-notice"), HeaderValue::from_static(NOTICE)),
    ];
    (status, headers, Json(body)).into_response()
}
