//! Callers that ask again and again, and see under which revision they were answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use devstack::until;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, sync::watch, task::JoinSet, time::MissedTickBehavior};

use super::edge::{CODE, Edge};

const PATIENCE: Duration = Duration::from_secs(60);

/// The newest revision that each caller saw, and when it saw it first.
type Seen = watch::Receiver<(String, Instant)>;

/// Callers at work.
pub(super) struct Callers {
    seen: Vec<Seen>,
    /// What all had seen when they were last waited for.
    last: std::sync::Mutex<String>,
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Result<()>>,
}

impl Callers {
    /// Opens connections, of which each worker must have some, and starts asking on each.
    pub(super) async fn start(edge: &Edge, connections: usize, every_ms: u64) -> Result<Self> {
        let token = edge.token()?;
        until("the probe to be known", PATIENCE, async || {
            let mut one = Caller::connect(edge.listen(), &token).await?;
            Ok(one.ask().await.ok())
        })
        .await?;
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let (mut seen, mut tasks) = (Vec::new(), JoinSet::new());
        for _ in 0..connections {
            let mut caller = Caller::connect(edge.listen(), &token).await?;
            let first = caller.ask().await?;
            let (tell, told) = watch::channel((first, Instant::now()));
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tasks.spawn(async move {
                // One of no length would be none.
                let mut pace = tokio::time::interval(Duration::from_millis(every_ms.max(1)));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    if every_ms > 0 {
                        pace.tick().await;
                    }
                    let revision = caller.ask().await?;
                    answered.fetch_add(1, Ordering::Relaxed);
                    tell.send_if_modified(|held| {
                        let is_new = held.0 != revision;
                        if is_new {
                            *held = (revision, Instant::now());
                        }
                        is_new
                    });
                }
                Ok(())
            });
            seen.push(told);
        }
        let by_worker = edge.connections_by_worker().await?;
        ensure!(
            by_worker.iter().all(|connections| *connections > 0),
            "expected connections to every worker, found {by_worker:?}; ask for more connections"
        );
        let last = seen.first().map(|seen| seen.borrow().0.clone()).unwrap_or_default();
        Ok(Self { seen, last: std::sync::Mutex::new(last), answered, stop, tasks })
    }

    /// Waits until every caller was answered under a revision other than the one before, the same
    /// for all; returns when the last of them was.
    pub(super) async fn all_changed(&self, patience: Duration) -> Result<Instant> {
        let before = self.last.lock().map(|last| last.clone()).unwrap_or_default();
        let changed = async {
            let mut latest: Option<(String, Instant)> = None;
            for seen in &self.seen {
                let mut seen = seen.clone();
                let (revision, at) = seen
                    .wait_for(|(revision, _)| *revision != before)
                    .await
                    .context("a caller ended; its answer was not as expected")?
                    .clone();
                let at = latest.map_or(at, |(_, other)| other.max(at));
                latest = Some((revision, at));
            }
            latest.context("expected at least one caller, found none")
        };
        let (revision, at) = tokio::time::timeout(patience, changed)
            .await
            .context("a commit was not enforced in time")??;
        if let Ok(mut last) = self.last.lock() {
            *last = revision;
        }
        Ok(at)
    }

    /// How many answers there were so far, each as expected.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends them; fails where one had an answer that it did not expect.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

struct Caller {
    sender: http1::SendRequest<Empty<Bytes>>,
    authorization: String,
}

impl Caller {
    async fn connect(to: SocketAddr, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with its sender, which sees whatever went wrong.
        tokio::spawn(connection);
        Ok(Self { sender, authorization: format!("Bearer {token}") })
    }

    /// The revision that the answer names.
    async fn ask(&mut self) -> Result<String> {
        let request = Request::get("/v2/models/air-time")
            .header(header::HOST, "bench.example")
            .header(header::AUTHORIZATION, &self.authorization)
            .body(Empty::new())?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status != StatusCode::FORBIDDEN || body["code"] != CODE {
            bail!("expected 403 with the code {CODE}, found {status} with {body}");
        }
        let revision = body["revision"].as_str();
        Ok(revision.context("expected a revision in the denial, found none")?.to_owned())
    }
}
