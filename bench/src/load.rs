//! A closed loop of keep-alive connections: each sends its next request when its last is answered.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    HeaderMap, Request, Response, StatusCode, body::Incoming, client::conn::http1,
    header::HeaderValue,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::upstream;

/// A GET without a body.
pub(crate) type Get = Request<Empty<Bytes>>;

/// What every answer must be.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) status: StatusCode,
    /// What the upstream must say that it saw; `None` where the request must not reach it.
    pub(crate) seen: Option<HeaderValue>,
}

/// How long and how hard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Sent before anything is measured.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome<M> {
    /// Answers while it was measured, every one of them as expected.
    pub(crate) answered: u64,
    pub(crate) elapsed: Duration,
    /// In microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
    /// What `meter` said before and after.
    pub(crate) meter: [M; 2],
}

struct Run<N> {
    next: RefCell<N>,
    expected: Expected,
    measuring: Cell<bool>,
    ended: Cell<bool>,
    latencies: RefCell<Vec<u32>>,
}

/// Sends what `next` makes to `target`, and reads `meter` at both ends of the measured time.
///
/// # Errors
/// The first answer that is not as expected, and whatever breaks a connection.
pub(crate) async fn run<N, M>(
    target: SocketAddr,
    shape: Shape,
    expected: Expected,
    next: N,
    meter: impl Fn() -> Result<M>,
) -> Result<Outcome<M>>
where
    N: FnMut() -> Result<Get> + 'static,
{
    let run = Rc::new(Run {
        next: RefCell::new(next),
        expected,
        measuring: Cell::new(false),
        ended: Cell::new(false),
        latencies: RefCell::default(),
    });
    let mut connections = JoinSet::new();
    for _ in 0..shape.connections {
        let run = Rc::clone(&run);
        connections.spawn_local(async move { run.connection(target).await });
    }
    let measured = async {
        tokio::time::sleep(shape.warm_up).await;
        let before = meter()?;
        run.measuring.set(true);
        let from = Instant::now();
        tokio::time::sleep(shape.measured).await;
        let after = meter()?;
        run.measuring.set(false);
        anyhow::Ok(([before, after], from.elapsed()))
    };
    let (meter, elapsed) = tokio::select! {
        measured = measured => measured?,
        early = connections.join_next() => match early {
            Some(ended) => return Err(ended?.err().context("a connection ended before its time")?),
            None => bail!("expected at least one connection, found none"),
        },
    };
    run.ended.set(true);
    while let Some(ended) = connections.join_next().await {
        ended??;
    }
    let mut latencies = run.latencies.take();
    latencies.sort_unstable();
    Ok(Outcome { answered: latencies.len() as u64, elapsed, latencies, meter })
}

impl<N: FnMut() -> Result<Get>> Run<N> {
    async fn connection(&self, target: SocketAddr) -> Result<()> {
        let mut sender = connect(target).await?;
        while !self.ended.get() {
            let request = (self.next.borrow_mut())()?;
            let sent = Instant::now();
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            let (status, headers) = finish(answer).await?;
            let latency = sent.elapsed();
            self.expected.check(status, &headers)?;
            if self.measuring.get() {
                let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
                self.latencies.borrow_mut().push(micros);
            }
        }
        Ok(())
    }
}

impl Expected {
    pub(crate) fn check(&self, status: StatusCode, headers: &HeaderMap) -> Result<()> {
        let seen = headers.get(upstream::SEEN);
        if status != self.status || seen != self.seen.as_ref() {
            bail!(
                "expected {} with {:?} at the upstream, found {status} with {seen:?}; headers: {headers:?}",
                self.status,
                self.seen
            );
        }
        Ok(())
    }
}

/// Sends one request on a connection of its own.
pub(crate) async fn send(target: SocketAddr, request: Get) -> Result<(StatusCode, HeaderMap)> {
    let mut sender = connect(target).await?;
    finish(sender.send_request(request).await?).await
}

async fn connect(target: SocketAddr) -> Result<http1::SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(target)
        .await
        .with_context(|| format!("could not connect to {target}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender, which sees whatever went wrong.
    tokio::task::spawn_local(connection);
    Ok(sender)
}

/// Reads the body, so that the connection is free again.
async fn finish(answer: Response<Incoming>) -> Result<(StatusCode, HeaderMap)> {
    let (head, mut body) = answer.into_parts();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok((head.status, head.headers))
}
