//! The filters' code, by digest. It is the same for everybody and no secret.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use tenancy::Digest;

use super::{
    App,
    extract::Path,
    problem::{Code, Problem, ProblemBody},
};

/// A filter's code.
#[utoipa::path(
    get,
    path = "/v1/wasm/{digest}",
    tag = "nodes",
    operation_id = "filter_code",
    params(("digest" = String, Path, description = "`sha256:` and 64 digits.")),
    responses(
        (status = 200, description = "WebAssembly.", content_type = "application/wasm", body = Vec<u8>),
        (status = 404, description = "`not_found`: there is no code of this digest.", content_type = "application/problem+json", body = ProblemBody),
    ),
    extensions(("x-bulkhead-roles" = json!(["anyone"])))
)]
pub(super) async fn code(
    State(app): State<App>,
    Path(digest): Path<String>,
) -> Result<Response, Problem> {
    let code = digest.parse::<Digest>().ok().and_then(|digest| app.wasm.code(&digest));
    match code {
        Some(code) => Ok(([(header::CONTENT_TYPE, "application/wasm")], code).into_response()),
        None => Err(Problem::new(Code::NotFound, "there is no filter code with this digest")),
    }
}
