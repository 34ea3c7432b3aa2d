//! The life of a sidecar: what starts in which order, how connections are served, how it ends.

use std::{fs, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use gpu::{Choice, Device, GpuBackend, Mode, Settings};
use inference::cpu::CpuBackend;
use metering::{HttpSink, Shipper, ShipperOptions};
use policy_model::assignment::{NODE_ASSIGNMENT_TYPE, TENANT_ASSIGNMENT_TYPE};
use tenancy::DataPlaneId;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use xds::client::DeltaClient;

use crate::{
    Capacity, Listen, NodeToken, OperatorDigest, Options, admin,
    artifacts::Artifacts,
    assignments::{self, Assignments},
    body::BodyLimits,
    codec::Codec,
    compute::Compute,
    connections,
    metrics::Metrics,
    models::Models,
    routes,
    sockets::{Listener, SocketFile},
    statistics::Statistics,
    usage::Meter,
    usage_log,
};

/// From the first byte of a body to its last.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to try to ship usage events after the last request.
const LAST_SHIPMENT: Duration = Duration::from_secs(5);
/// How often an address that the sidecar before still has is tried again.
const HANDOVER_PAUSE: Duration = Duration::from_millis(500);
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// What requests are answered with.
pub(crate) struct Sidecar {
    pub(crate) assignments: Arc<Assignments>,
    pub(crate) models: Arc<Models>,
    pub(crate) compute: Compute,
    pub(crate) meter: Meter,
    pub(crate) bodies: BodyLimits,
    pub(crate) codec: Codec,
    pub(crate) metrics: Metrics,
    pub(crate) statistics: Statistics,
    /// Cancelled once no more connections are taken.
    pub(crate) ending: CancellationToken,
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

/// Serves until `shutdown` is ready, or another sidecar has taken its Unix socket. Then it is not ready
/// any more, takes no more connections, finishes the requests that
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
    let opened = usage_log::open(&options.state_dir, options.take_over).await?;
    tracing::info!(recovery = ?opened.recovery, "usage log opened");
    let client = http_client(options.token.as_ref())?;
    let store = artifact::Store::open(options.state_dir.join("artifacts"))?;
    let store = if options.seal_artifacts { store.sealing() } else { store };
    let cpu = CpuBackend::default().repacking_into(store.derived().clone());
    let device = open_device(&options).await?;
    let capacity = Capacity {
        // What is left of it is for requests while they run.
        device_bytes: device.as_ref().map_or(0, |_| options.capacity.device_bytes / 4 * 3),
        ..options.capacity
    };
    let backend = GpuBackend::new(cpu, device.clone(), Mode::Measured);
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
        models: Arc::new(Models::new(capacity, artifacts.clone(), Arc::new(backend))),
        compute: Compute::start(options.capacity)?,
        meter: Meter { log: opened.log, data_plane },
        bodies: BodyLimits::new(options.max_body_bytes, BODY_TIMEOUT),
        codec: Codec::new(),
        metrics: Metrics::new()?,
        statistics: Statistics::default(),
        ending: CancellationToken::new(),
    });

    anyhow::ensure!(
        !options.take_over || assignments.table().is_told(),
        "expected assignments that the sidecar before saved, found none: a sidecar that takes over \
         needs its state folder, to serve from its first connection on"
    );
    // Whatever can fail has to fail before anything runs by itself.
    let listener = Listener::bind(&options.listen, options.take_over).await?;
    let own_listener = match options.metrics {
        // The sidecar before may hold it until it has ended.
        Some(address) if !options.take_over => {
            Some(Listener::bind(&Listen::Tcp(address), false).await?)
        }
        _ => None,
    };
    let shutdown = {
        let replaced = listener.file().map(SocketFile::replaced);
        async move {
            tokio::select! {
                () = shutdown => {}
                () = maybe(replaced) => tracing::info!("taken over from: ending"),
            }
        }
    };
    let mut background = JoinSet::new();
    let following = assignments::follow(
        Arc::clone(&assignments),
        resources,
        updates,
        Arc::clone(&sidecar.models),
    );
    background.spawn(following);
    background.spawn(artifacts.keep(Arc::clone(&assignments)));
    background.spawn(keep_models(Arc::clone(&sidecar)));
    background.spawn(keep_shares(Arc::clone(&sidecar)));
    background.spawn(keep_metrics(Arc::clone(&sidecar)));
    background.spawn(keep_statistics(Arc::clone(&sidecar)));
    if let Some(address) = options.metrics {
        let operators = options.operators.into();
        background.spawn(serve_admin(address, own_listener, Arc::clone(&sidecar), operators));
    }
    let sink = move || HttpSink::new(client.clone(), &options.control);
    let served = CancellationToken::new();
    let shipping = tokio::spawn(ship(
        Shipper::new(opened.backlog, sink(), ShipperOptions::default()),
        served.clone(),
    ));
    let own = sidecar.meter.log.directory().to_owned();
    let others = usage_log::ship_others(options.state_dir.clone(), own, sink, served.clone());
    let shipping_others = tokio::spawn(others);

    tracing::info!(listen = %options.listen, data_plane = %sidecar.meter.data_plane, "serving");
    let service = {
        let sidecar = Arc::clone(&sidecar);
        move |request| routes::answer(Arc::clone(&sidecar), request)
    };
    let ending = || sidecar.ending.cancel();
    connections::serve(listener, service, shutdown, ending).await;
    served.cancel();
    shipping.await?;
    shipping_others.await?;
    background.shutdown().await;
    let stats = sidecar.meter.log.stats();
    tracing::info!(unshipped = stats.backlog_events, shipped = stats.shipped, "ended");
    // The last handle on the log waits for its writer, which is done: nothing is queued any more.
    tokio::task::spawn_blocking(move || drop(sidecar)).await?;
    Ok(())
}

/// The device that models run on where that is faster; none, with the reason told once, where there is
/// none. One that is asked for by its name has to be there.
async fn open_device(options: &Options) -> anyhow::Result<Option<Device>> {
    let settings = Settings {
        choice: options.device.clone(),
        budget_bytes: options.capacity.device_bytes,
        pipelines: Some(options.state_dir.join("pipelines")),
        ..Settings::default()
    };
    if settings.choice == Choice::Off {
        return Ok(None);
    }
    let is_asked_for = settings.choice != Choice::Auto;
    let opened = tokio::task::spawn_blocking(move || Device::open(settings)).await?;
    match opened {
        Ok(device) => Ok(Some(device)),
        Err(error) if is_asked_for => Err(anyhow::Error::new(error).context(format!(
            "could not open the device `{}`; there are: {:?}",
            options.device,
            gpu::adapters()
        ))),
        Err(error) => {
            tracing::info!(%error, "no device: models run on the CPU");
            Ok(None)
        }
    }
}

/// Never, where there is nothing to wait for.
async fn maybe(waited: Option<impl Future<Output = ()>>) {
    match waited {
        Some(waited) => waited.await,
        None => std::future::pending().await,
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

async fn keep_shares(sidecar: Arc<Sidecar>) {
    sidecar.compute.keep(Arc::clone(&sidecar.assignments)).await;
}

async fn keep_metrics(sidecar: Arc<Sidecar>) {
    loop {
        tokio::time::sleep(METRICS_UPKEEP).await;
        sidecar.metrics.upkeep();
    }
}

async fn keep_statistics(sidecar: Arc<Sidecar>) {
    let mut changes = sidecar.assignments.watch();
    while changes.changed().await.is_ok() {
        let table = sidecar.assignments.table();
        sidecar.statistics.keep(table.assigned().map(|assigned| &**assigned));
    }
}

/// Listens as soon as the sidecar before has left the address.
async fn bound_later(address: SocketAddr) -> Listener {
    loop {
        match Listener::bind(&Listen::Tcp(address), false).await {
            Ok(listener) => return listener,
            Err(error) => tracing::warn!(%error, "waiting for the sidecar before this one to end"),
        }
        tokio::time::sleep(HANDOVER_PAUSE).await;
    }
}

/// Serves the node's own address; where it is not bound yet, once it is free.
async fn serve_admin(
    address: SocketAddr,
    bound: Option<Listener>,
    sidecar: Arc<Sidecar>,
    operators: Arc<[OperatorDigest]>,
) {
    let listener = match bound {
        Some(listener) => listener,
        None => bound_later(address).await,
    };
    let service =
        move |request| admin::answer(Arc::clone(&sidecar), Arc::clone(&operators), request);
    connections::serve(listener, service, std::future::pending(), || {}).await;
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
