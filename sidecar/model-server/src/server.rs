//! The life of a sidecar: what starts in which order, how connections are served, how it ends.

use std::{convert::Infallible, fs, future::Future, sync::Arc, time::Duration};

use anyhow::Context;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use inference::cpu::CpuBackend;
use metering::{
    HttpSink, LogOptions, OpenError, OpenedLog, Shipper, ShipperOptions, WriteAheadLog,
};
use policy_model::assignment::{NODE_ASSIGNMENT_TYPE, TENANT_ASSIGNMENT_TYPE};
use scheduler::WorkerPool;
use tenancy::{DataPlaneId, problem::Problem};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use xds::client::DeltaClient;

use crate::{
    Listen, NodeToken, Options,
    answer::Refusal,
    artifacts::Artifacts,
    assignments::{self, Assignments},
    body::BodyLimits,
    codec::Codec,
    metrics::{Metrics, Stats},
    models::Models,
    routes,
    sockets::{Io, Listener},
    usage::Meter,
};

/// From the first byte of a body to its last.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// From the first byte of a request's head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in flight may take after the end was asked for.
const GRACE: Duration = Duration::from_secs(20);
/// How long to try to ship usage events after the last request.
const LAST_SHIPMENT: Duration = Duration::from_secs(5);
/// How long to wait for the state folder: longer than a sidecar may take to end.
const HANDOVER: Duration = Duration::from_secs(30);
const HANDOVER_PAUSE: Duration = Duration::from_millis(500);
/// How many requests wait for a thread before more are refused.
const QUEUED_REQUESTS: usize = 256;
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What requests are answered with.
pub(crate) struct Sidecar {
    pub(crate) assignments: Arc<Assignments>,
    pub(crate) models: Models,
    pub(crate) pool: WorkerPool,
    pub(crate) meter: Meter,
    pub(crate) bodies: BodyLimits,
    pub(crate) codec: Codec,
    pub(crate) metrics: Metrics,
}

/// Serves until the process gets SIGTERM or SIGINT, then as [`serve`] ends.
///
/// # Errors
/// As [`serve`].
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("could not wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not wait for SIGINT")?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
            _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
        }
    };
    serve(options, shutdown).await
}

/// Serves until `shutdown` is ready. Then it takes no more connections, finishes the requests that
/// are in flight (for 20 s at most), ships usage events (for 5 s at most) and returns. What is not
/// shipped by then is on the disk and is shipped by the next run.
///
/// # Errors
/// Where it cannot start: a name that is none, a folder that cannot be used, a usage log that
/// another process still holds after 30 s or that cannot be read, an address that is taken. Once it serves, it goes
/// on whatever becomes of the control plane.
pub async fn serve(options: Options, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let data_plane: DataPlaneId = options.data_plane.parse()?;
    fs::create_dir_all(&options.state_dir)
        .with_context(|| format!("could not make `{}`", options.state_dir.display()))?;
    // The log first: it locks the folder, and whoever holds it not has no business in the rest.
    let opened = open_log(LogOptions::new(options.state_dir.join("usage"))).await?;
    tracing::info!(recovery = ?opened.recovery, "usage log opened");
    let client = http_client(options.token.as_ref())?;
    let store = artifact::Store::open(options.state_dir.join("artifacts"))?;
    let artifacts = Artifacts::new(store, client.clone(), &options.control);
    let (assignments, resources) = Assignments::load(&options.state_dir, data_plane.clone());
    let updates = DeltaClient::new(&options.xds, &options.node_id)?
        .metadata("role", "sidecar")
        .metadata("data_plane", data_plane.as_str())
        .holding(TENANT_ASSIGNMENT_TYPE, resources.versions(TENANT_ASSIGNMENT_TYPE))
        .holding(NODE_ASSIGNMENT_TYPE, resources.versions(NODE_ASSIGNMENT_TYPE))
        .start();
    let sidecar = Arc::new(Sidecar {
        assignments: Arc::clone(&assignments),
        models: Models::new(
            options.cache_bytes,
            artifacts.clone(),
            Arc::new(CpuBackend::default()),
        ),
        pool: WorkerPool::with_a_thread_per_core(QUEUED_REQUESTS)?,
        meter: Meter { log: opened.log, data_plane },
        bodies: BodyLimits::new(options.max_body_bytes, BODY_TIMEOUT),
        codec: Codec::new(),
        metrics: Metrics::new()?,
    });

    // Whatever can fail has to fail before anything runs by itself.
    let listener = Listener::bind(&options.listen).await?;
    let metrics_listener = match options.metrics {
        Some(address) => Some(Listener::bind(&Listen::Tcp(address)).await?),
        None => None,
    };
    let mut background = JoinSet::new();
    background.spawn(assignments::follow(Arc::clone(&assignments), resources, updates));
    background.spawn(artifacts.keep(Arc::clone(&assignments)));
    background.spawn(keep_models(Arc::clone(&sidecar)));
    background.spawn(keep_metrics(Arc::clone(&sidecar)));
    if let Some(listener) = metrics_listener {
        background.spawn(serve_metrics(listener, Arc::clone(&sidecar)));
    }
    let sink = HttpSink::new(client, &options.control);
    let served = CancellationToken::new();
    let shipping = tokio::spawn(ship(
        Shipper::new(opened.backlog, sink, ShipperOptions::default()),
        served.clone(),
    ));

    tracing::info!(listen = %options.listen, data_plane = %sidecar.meter.data_plane, "serving");
    let service = {
        let sidecar = Arc::clone(&sidecar);
        move |request| routes::answer(Arc::clone(&sidecar), request)
    };
    serve_connections(listener, service, shutdown).await;
    served.cancel();
    shipping.await?;
    background.shutdown().await;
    let stats = sidecar.meter.log.stats();
    tracing::info!(unshipped = stats.backlog_events, shipped = stats.shipped, "ended");
    // The last handle on the log waits for its writer, which is done: nothing is queued any more.
    tokio::task::spawn_blocking(move || drop(sidecar)).await?;
    Ok(())
}

/// Opens the usage log, once whoever held it before has ended: a restart may overlap with the end
/// of the sidecar before it.
async fn open_log(options: LogOptions) -> anyhow::Result<OpenedLog> {
    let mut attempts = HANDOVER.as_millis() / HANDOVER_PAUSE.as_millis();
    loop {
        let options = options.clone();
        match tokio::task::spawn_blocking(|| WriteAheadLog::open(options)).await? {
            Err(error @ OpenError::Locked { .. }) if attempts > 0 => {
                tracing::warn!(%error, "waiting for the sidecar before this one to end");
                attempts -= 1;
                tokio::time::sleep(HANDOVER_PAUSE).await;
            }
            opened => return Ok(opened?),
        }
    }
}

async fn ship(mut shipper: Shipper<HttpSink>, served: CancellationToken) {
    shipper.run(served.cancelled()).await;
    if tokio::time::timeout(LAST_SHIPMENT, shipper.drain()).await.is_err() {
        tracing::warn!("usage events stay on the disk: the next run ships them");
    }
}

async fn keep_models(sidecar: Arc<Sidecar>) {
    sidecar.models.keep(Arc::clone(&sidecar.assignments)).await;
}

async fn keep_metrics(sidecar: Arc<Sidecar>) {
    loop {
        tokio::time::sleep(METRICS_UPKEEP).await;
        sidecar.metrics.upkeep();
    }
}

async fn serve_metrics(listener: Listener, sidecar: Arc<Sidecar>) {
    let service = move |request: Request<Incoming>| {
        let sidecar = Arc::clone(&sidecar);
        async move { metrics_answer(&sidecar, request.uri().path()) }
    };
    serve_connections(listener, service, std::future::pending()).await;
}

fn metrics_answer(sidecar: &Sidecar, path: &str) -> Response<Full<bytes::Bytes>> {
    if path != "/metrics" {
        let detail = "expected `/metrics`";
        return Refusal::new(Problem::NotFound, detail).into_answer();
    }
    let stats = Stats {
        cache: sidecar.models.stats(),
        meter: sidecar.meter.log.stats(),
        waiting: sidecar.pool.waiting(),
        tenants: sidecar.assignments.table().tenants(),
    };
    let mut answer = Response::new(Full::from(sidecar.metrics.render(&stats)));
    let text = http::HeaderValue::from_static("text/plain; version=0.0.4");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, text);
    answer
}

/// Serves until `shutdown` is ready, then until the last connection has ended or `GRACE` is over.
async fn serve_connections<S, F>(listener: Listener, service: S, shutdown: impl Future<Output = ()>)
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<bytes::Bytes>>> + Send + 'static,
{
    let ending = CancellationToken::new();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    connections.spawn(connection(stream, service.clone(), ending.clone()));
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
    drop(listener);
    ending.cancel();
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections are cut: they did not end");
    }
}

async fn connection<S, F>(stream: Box<dyn Io>, service: S, ending: CancellationToken)
where
    S: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<Full<bytes::Bytes>>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = service(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Asks the control plane and nobody else, and so may show it the node's token with each request.
fn http_client(token: Option<&NodeToken>) -> anyhow::Result<reqwest::Client> {
    // Another part of the process may have installed one already: that one is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = reqwest::header::HeaderMap::new();
    headers.extend(token.map(|it| (reqwest::header::AUTHORIZATION, it.authorization())));
    let builder = || {
        reqwest::Client::builder()
            .default_headers(headers.clone())
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("bulkhead/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            // What goes to the control plane goes nowhere else, whatever the environment says.
            .no_proxy()
    };
    builder().build().or_else(|error| {
        tracing::warn!(
            %error,
            "the system's certificate authorities cannot be read, so an https control plane \
             cannot be reached; install the package ca-certificates"
        );
        builder().tls_certs_only([]).build().context("could not build an HTTP client")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sidecar_waits_for_the_one_before_it_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let options = LogOptions::new(folder.path().join("usage"));
        let before = WriteAheadLog::open(options.clone()).unwrap();
        let after = tokio::spawn(open_log(options));
        while !folder.path().join("usage/lock").exists() {
            tokio::task::yield_now().await;
        }
        assert!(!after.is_finished());
        drop(before);
        assert!(after.await.unwrap().is_ok());
    }
}
