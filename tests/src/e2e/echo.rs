//! A server in the place of a sidecar, which answers with the headers that reached it.

use std::{
    convert::Infallible,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::UnixListener, task::JoinHandle};

use scenario::Header;

/// What every answer carries, with the data plane's name; no filter and no Envoy sends it.
pub const REACHED: &str = "x-reached";

/// A running echo. Dropping it stops it.
#[derive(Debug)]
pub struct Echo {
    task: JoinHandle<()>,
    answered: Arc<AtomicU64>,
}

impl Echo {
    /// Starts it at a Unix socket, in the place of the sidecar of `data_plane`.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn start(socket: &Path, data_plane: &str) -> Result<Self> {
        let listener = UnixListener::bind(socket)
            .with_context(|| format!("could not listen at {}", socket.display()))?;
        let data_plane = data_plane.to_owned();
        let answered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answered);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (data_plane, count) = (data_plane.clone(), Arc::clone(&count));
                let service = service_fn(move |request: Request<Incoming>| {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = answer(&data_plane, &request);
                    async { answer }
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A connection that breaks is the proxy's to report.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { task, answered })
    }

    /// How many requests have reached it.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The headers that an echo's answer tells of.
///
/// # Errors
/// Where it is no such answer.
pub fn headers(body: &[u8]) -> Result<Vec<Header>> {
    serde_json::from_slice(body).context("expected the answer of an echo")
}

fn answer(
    data_plane: &str,
    request: &Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers: Vec<Header> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let body = serde_json::to_vec(&headers).unwrap_or_default();
    let mut response = Response::new(Full::new(body.into()));
    if let Ok(value) = data_plane.parse() {
        response.headers_mut().insert(REACHED, value);
    }
    Ok(response)
}
