//! Artifacts, by digest.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tenancy::Digest;
use tokio::io::AsyncReadExt as _;

use super::{App, error::AdminError};

/// How much of an artifact is in memory at once, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

fn digest(text: &str) -> Result<Digest, AdminError> {
    text.parse().map_err(|error: tenancy::DigestError| AdminError::BadRequest(error.to_string()))
}

/// Takes an artifact in, where its bytes have the digest that the path says.
pub(super) async fn store(
    State(app): State<App>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Json<Value>, AdminError> {
    let expected = digest(&name)?;
    let mut incoming = app.artifacts.incoming()?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| AdminError::BadRequest(error.to_string()))?;
        if let Ok(chunk) = frame.into_data() {
            incoming.write(&chunk).map_err(|error| AdminError::BadRequest(error.to_string()))?;
        }
    }
    let store = app.artifacts.clone();
    let bytes = incoming
        .finish(&store, &expected)
        .map_err(|error| AdminError::BadRequest(format!("{error:#}")))?;
    app.registry.artifact_stored("operator", expected, bytes).await?;
    Ok(Json(json!({"digest": expected, "bytes": bytes})))
}

/// Gives an artifact out. Answers `HEAD` too.
pub(super) async fn fetch(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Response, AdminError> {
    let digest = digest(&name)?;
    let (path, bytes) = app.artifacts.find(&digest).ok_or_else(|| {
        AdminError::NotFound(format!("there is no artifact {digest}; `bulkhead apply` uploads it"))
    })?;
    let file = tokio::fs::File::open(path).await.map_err(anyhow::Error::from)?;
    let chunks = tokio_stream::StreamExt::map(
        tokio_stream::wrappers::ReceiverStream::new(read_chunks(file)),
        |chunk: std::io::Result<bytes::Bytes>| chunk,
    );
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

fn read_chunks(
    mut file: tokio::fs::File,
) -> tokio::sync::mpsc::Receiver<std::io::Result<bytes::Bytes>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
            let read = file.read_buf(&mut chunk).await;
            let ended = !matches!(read, Ok(bytes) if bytes > 0);
            if !matches!(read, Ok(0)) && sender.send(read.map(|_| chunk.freeze())).await.is_err() {
                return;
            }
            if ended {
                return;
            }
        }
    });
    receiver
}
