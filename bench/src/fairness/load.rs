//! Requests at a declared rate, over a Unix socket.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, task::JoinSet};

/// Nothing counts before it: connections are opened, and the threads find their processors.
const WARM_UP: Duration = Duration::from_millis(300);

/// What is sent where.
pub(super) struct Load<'a> {
    pub(super) socket: &'a Path,
    pub(super) body: Bytes,
}

/// The requests of one tenant.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) passport: String,
    pub(super) connections: u32,
    /// How many requests are sent in a second, evenly; where it is not said, each connection sends the
    /// next as soon as it has an answer.
    pub(super) per_second: Option<f64>,
    /// Whether how long they take is of interest.
    pub(super) is_counted: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// How many were answered.
    pub(super) answered: u64,
    /// How many were refused for want of room.
    pub(super) refused: u64,
    /// How many of those whose time is of interest.
    pub(super) victims_refused: u64,
    /// In milliseconds, of those that were answered and whose time is of interest.
    pub(super) latencies: Vec<f64>,
    /// For how long, in seconds.
    pub(super) seconds: f64,
}

impl Outcome {
    pub(super) fn per_second(&self) -> f64 {
        self.answered as f64 / self.seconds
    }
}

impl Load<'_> {
    /// Sends all streams at once, for so long.
    pub(super) async fn run(&self, streams: &[Stream], measured: Duration) -> Result<Outcome> {
        let start = Instant::now() + WARM_UP;
        let mut connections = JoinSet::new();
        for stream in streams {
            for number in 0..stream.connections {
                let connection = Connection {
                    socket: self.socket.to_owned(),
                    body: self.body.clone(),
                    stream: stream.clone(),
                    number,
                    from: start,
                    until: start + measured,
                };
                connections.spawn(connection.run());
            }
        }
        let mut outcome = Outcome { seconds: measured.as_secs_f64(), ..Outcome::default() };
        while let Some(ended) = connections.join_next().await {
            let one = ended??;
            outcome.answered += one.answered;
            outcome.refused += one.refused;
            outcome.victims_refused += one.victims_refused;
            outcome.latencies.extend(one.latencies);
        }
        Ok(outcome)
    }
}

struct Connection {
    socket: PathBuf,
    body: Bytes,
    stream: Stream,
    number: u32,
    from: Instant,
    until: Instant,
}

impl Connection {
    async fn run(self) -> Result<Outcome> {
        let mut sender = self.connect().await?;
        let mut outcome = Outcome::default();
        let pause = self.pause();
        // Each connection begins at its own part of the pause, so that all together are even.
        let begins = self.from - WARM_UP / 2 + pause.mul_f64(self.part());
        let mut due = begins;
        while due < self.until {
            tokio::time::sleep_until(due.into()).await;
            let sent = Instant::now();
            if sent >= self.until {
                break;
            }
            sender.ready().await?;
            let answer = sender.send_request(self.request()?).await?;
            let status = answer.status();
            answer.into_body().collect().await?;
            self.note(&mut outcome, status, sent)?;
            // What was missed is not made up for: a caller that waits does not send more.
            due = (due + pause).max(Instant::now());
        }
        Ok(outcome)
    }

    fn pause(&self) -> Duration {
        let per_second = self.stream.per_second.filter(|it| *it > 0.0);
        per_second.map_or(Duration::ZERO, |all| {
            Duration::from_secs_f64(f64::from(self.stream.connections) / all)
        })
    }

    fn part(&self) -> f64 {
        f64::from(self.number) / f64::from(self.stream.connections.max(1))
    }

    fn request(&self) -> Result<Request<Full<Bytes>>> {
        Ok(Request::post("/v2/models/m/infer")
            .header(header::HOST, "bench")
            .header(tenancy::headers::PASSPORT, &self.stream.passport)
            .body(Full::new(self.body.clone()))?)
    }

    fn note(&self, outcome: &mut Outcome, status: StatusCode, sent: Instant) -> Result<()> {
        let is_counted = self.stream.is_counted;
        match status {
            _ if sent < self.from => {}
            StatusCode::OK => {
                outcome.answered += 1;
                if is_counted {
                    outcome.latencies.push(sent.elapsed().as_secs_f64() * 1e3);
                }
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                outcome.refused += 1;
                outcome.victims_refused += u64::from(is_counted);
            }
            other => bail!("expected 200 or 503, found {other}"),
        }
        Ok(())
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .with_context(|| format!("could not connect to {}", self.socket.display()))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with its sender, which sees whatever went wrong.
        tokio::spawn(connection);
        Ok(sender)
    }
}
