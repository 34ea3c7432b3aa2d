//! A server in the place of a sidecar, which answers with the headers that reached it. It decides by
//! a sidecar's checks where it is given any, and has no models.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, http::request::Parts, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::UnixListener, task::JoinHandle};

use scenario::{Header, Sidecar};

/// What every answer carries, with the data plane's name; no filter and no Envoy sends it.
pub const REACHED: &str = "x-reached";

/// A running echo. Dropping it stops it.
#[derive(Debug)]
pub struct Echo {
    task: JoinHandle<()>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What decides; nothing lets all requests through.
    sidecar: Option<Sidecar>,
    /// How many requests were let through.
    answered: u64,
    /// How often each check in shadow would have denied one.
    shadow: BTreeMap<String, u64>,
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
        let state = Arc::new(Mutex::new(State::default()));
        let of_task = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (data_plane, state) = (data_plane.clone(), Arc::clone(&of_task));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (request, _body) = request.into_parts();
                    let answer = match lock(&state).decide(&request) {
                        Some(denied) => denied.map(|body| Full::new(body.into())),
                        None => answer(&data_plane, &request),
                    };
                    async { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A connection that breaks is the proxy's to report.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { task, state })
    }

    /// Decides by `sidecar` from the next request on.
    pub fn decide_by(&self, sidecar: Sidecar) {
        lock(&self.state).sidecar = Some(sidecar);
    }

    /// How many requests have reached it and were let through.
    pub fn answered(&self) -> u64 {
        lock(&self.state).answered
    }

    /// How often each check in shadow would have denied a request.
    pub fn shadow(&self) -> BTreeMap<String, u64> {
        lock(&self.state).shadow.clone()
    }
}

impl State {
    /// What a check answers to `request`; nothing where it is let through.
    fn decide(&mut self, request: &Parts) -> Option<Response<Vec<u8>>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let failed = Mutex::new(Vec::new());
        let counted = |check: &str| lock(&failed).push(check.to_owned());
        let denied = self.sidecar.as_ref().and_then(|it| it.denial(request, now, counted));
        for check in failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            *self.shadow.entry(check).or_default() += 1;
        }
        self.answered += u64::from(denied.is_none());
        denied
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
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

fn answer(data_plane: &str, request: &Parts) -> Response<Full<Bytes>> {
    let headers: Vec<Header> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let body = serde_json::to_vec(&headers).unwrap_or_default();
    let mut response = Response::new(Full::new(body.into()));
    if let Ok(value) = data_plane.parse() {
        response.headers_mut().insert(REACHED, value);
    }
    response
}
