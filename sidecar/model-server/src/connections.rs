//! How connections are served, and how they end: each request that was taken is answered.

use std::{convert::Infallible, future::Future, time::Duration};

use futures::FutureExt;
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::Answer,
    sockets::{Io, Listener},
};

/// From the first byte of a request's head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in flight may take after the end was asked for.
const GRACE: Duration = Duration::from_secs(20);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many requests one HTTP/2 connection may have in flight; a peer opens another one for more.
const MAX_CONCURRENT_STREAMS: u32 = 256;
/// What a request's head may have over HTTP/2, as SETTINGS_MAX_HEADER_LIST_SIZE counts it: a passport,
/// and many times what an Envoy adds.
const MAX_HEAD_BYTES: u32 = 16 << 10;
/// What a peer may send ahead of what is read, in one stream and in all of a connection, so that a
/// body that nobody reads yet takes no more of this node's memory.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// How often a peer is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Serves until `shutdown` is ready, says so to `ending`, and goes on until the last connection has
/// ended or `GRACE` is over. Connections that were made by then are taken, each is told to end
/// (HTTP/2 by GOAWAY, HTTP/1.1 by `connection: close`), and what is in flight is answered.
pub(crate) async fn serve<S, F>(
    listener: Listener,
    service: S,
    shutdown: impl Future<Output = ()>,
    ending: impl FnOnce(),
) where
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let end = CancellationToken::new();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    connections.spawn(connection(stream, service.clone(), end.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely, which some connection will give back.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            // Ended connections are let go of as they end.
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    ending();
    // Whoever has connected already would find a connection that is reset.
    while let Some(Ok(stream)) = listener.accept().now_or_never() {
        connections.spawn(connection(stream, service.clone(), end.clone()));
    }
    drop(listener);
    end.cancel();
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections are cut: they did not end");
    }
}

async fn connection<S, F>(stream: Box<dyn Io>, service: S, end: CancellationToken)
where
    S: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = service(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
