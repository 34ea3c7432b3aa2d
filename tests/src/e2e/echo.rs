//! A server in the place of a sidecar, which answers with the headers that reached it.

use std::{convert::Infallible, path::Path};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::UnixListener, task::JoinHandle};

use crate::scenario::Header;

/// What every answer carries, with the data plane's name; no filter and no Envoy sends it.
pub const REACHED: &str = "x-reached";

/// A running echo. Dropping it stops it.
#[derive(Debug)]
pub struct Echo(JoinHandle<()>);

impl Echo {
    /// Starts it at a Unix socket, in the place of the sidecar of `data_plane`.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn start(socket: &Path, data_plane: &str) -> Result<Self> {
        let listener = UnixListener::bind(socket)
            .with_context(|| format!("could not listen at {}", socket.display()))?;
        let data_plane = data_plane.to_owned();
        Ok(Self(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let data_plane = data_plane.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&data_plane, &request);
                    async { answer }
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A connection that breaks is the proxy's to report.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        })))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.0.abort();
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
