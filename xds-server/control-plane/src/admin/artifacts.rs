//! Artifacts, by digest.

use std::time::Duration;

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt as _;
use tenancy::Digest;
use tokio::io::AsyncReadExt as _;

use super::{
    App,
    extract::Path,
    guard::Caller,
    problem::{Code, Problem, ProblemBody},
    wire::Stored,
};
use crate::artifacts::MAX_ARTIFACT_BYTES;

/// How much of an artifact is in memory at once, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// How long a sender or taker may pause.
const PAUSE: Duration = Duration::from_secs(30);

fn digest(text: &str) -> Result<Digest, Problem> {
    let parsed = text.parse();
    parsed.map_err(|error: tenancy::DigestError| Problem::new(Code::Malformed, error.to_string()))
}

/// Takes an artifact in, where its bytes have the digest that the path says.
#[utoipa::path(
    put,
    path = "/v1/artifacts/{digest}",
    tag = "artifacts",
    operation_id = "store_artifact",
    params(("digest" = String, Path, description = "`sha256:` and 64 digits.")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "It is kept.", body = Stored),
        (status = 400, description = "`digest_mismatch`: the bytes have another digest.", content_type = "application/problem+json", body = ProblemBody),
    ),
    extensions(("x-bulkhead-roles" = json!(["editor", "admin"])))
)]
pub(super) async fn store(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Json<Stored>, Problem> {
    let expected = digest(&name)?;
    let mut incoming = app.artifacts.incoming()?;
    let mut bytes = 0;
    while let Some(chunk) = next(&mut body).await? {
        bytes += chunk.len() as u64;
        if bytes > MAX_ARTIFACT_BYTES {
            let most = format!("expected an artifact of at most {MAX_ARTIFACT_BYTES} bytes");
            return Err(Problem::new(Code::TooLarge, most));
        }
        incoming.write(&chunk)?;
    }
    let store = app.artifacts.clone();
    let bytes = incoming
        .finish(&store, &expected)
        .map_err(|error| Problem::new(Code::DigestMismatch, format!("{error:#}")))?;
    app.registry.artifact_stored(&caller.name, expected, bytes).await?;
    Ok(Json(Stored { digest: expected.to_string(), bytes }))
}

/// The next part of a body; trailers are no part of it.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(PAUSE, body.frame()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(Some(Err(error))) => {
            Err(Problem::new(Code::Malformed, format!("the body broke off: {error}")))
        }
        Err(_) => Err(Problem::new(
            Code::Timeout,
            format!("expected the next part within {} s; send it again", PAUSE.as_secs()),
        )),
    }
}

/// Gives an artifact out. Answers `HEAD` too.
#[utoipa::path(
    get,
    path = "/v1/artifacts/{digest}",
    tag = "artifacts",
    operation_id = "artifact",
    params(("digest" = String, Path, description = "`sha256:` and 64 digits.")),
    responses(
        (status = 200, description = "Its bytes.", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, description = "`not_found`: it was not taken in.", content_type = "application/problem+json", body = ProblemBody),
    ),
    extensions(("x-bulkhead-roles" = json!(["editor", "admin", "node"])))
)]
pub(super) async fn fetch(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let digest = digest(&name)?;
    let (path, bytes) = app.artifacts.find(&digest).ok_or_else(|| {
        let absent = format!("there is no artifact {digest}; `bulkhead apply` uploads it");
        Problem::new(Code::NotFound, absent)
    })?;
    let file = tokio::fs::File::open(path).await.map_err(anyhow::Error::from)?;
    let chunks = tokio_stream::wrappers::ReceiverStream::new(read_chunks(file));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

fn read_chunks(mut file: tokio::fs::File) -> tokio::sync::mpsc::Receiver<std::io::Result<Bytes>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
            let read = file.read_buf(&mut chunk).await;
            let ended = !matches!(read, Ok(bytes) if bytes > 0);
            if !matches!(read, Ok(0)) {
                let sent = sender.send_timeout(read.map(|_| chunk.freeze()), PAUSE).await;
                if sent.is_err() {
                    return;
                }
            }
            if ended {
                return;
            }
        }
    });
    receiver
}
