//! A small HTTP/1.1 client for what the stack asks of its own processes.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// The largest body read, in bytes.
const MAX_BODY_BYTES: usize = 64 << 20;

const PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is not JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("expected JSON, found `{}`", self.text()))
    }
}

/// `GET url`, for an `http://address:port/...` URL.
///
/// # Errors
/// Where nobody listens there or the answer does not come whole within ten seconds.
pub async fn get(url: &str) -> Result<Answer> {
    send(Method::GET, url, Bytes::new()).await
}

/// `POST url` with a body, for an `http://address:port/...` URL.
///
/// # Errors
/// As [`get`].
pub async fn post(url: &str, body: impl Into<Bytes>) -> Result<Answer> {
    send(Method::POST, url, body.into()).await
}

/// `GET path` of the server that listens at a Unix socket.
///
/// # Errors
/// As [`get`].
pub async fn get_unix(socket: &Path, path: &str) -> Result<Answer> {
    let request = request(Method::GET, "localhost", path, Bytes::new())?;
    let what = || format!("GET {path} of {}", socket.display());
    within(
        async {
            let stream = UnixStream::connect(socket).await?;
            exchange(stream, request).await
        },
        what,
    )
    .await
}

async fn send(method: Method, url: &str, body: Bytes) -> Result<Answer> {
    let rest = url.strip_prefix("http://");
    let Some(rest) = rest else {
        bail!("expected a URL that starts with http://, found `{url}`");
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let what = format!("{method} {url}");
    let request = request(method, authority, path, body)?;
    within(
        async {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            exchange(stream, request).await
        },
        || what,
    )
    .await
}

fn request(method: Method, host: &str, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
    let request = Request::builder().method(method).uri(path).header(header::HOST, host);
    Ok(request.body(Full::new(body))?)
}

async fn within(
    exchange: impl Future<Output = Result<Answer>>,
    what: impl FnOnce() -> String,
) -> Result<Answer> {
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer.with_context(what),
        Err(_) => bail!("{}: no answer within {} s", what(), PATIENCE.as_secs()),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends by itself once the sender is dropped.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the answer's body: {error}"))?;
    Ok(Answer { status, body: body.to_bytes() })
}
