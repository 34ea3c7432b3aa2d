//! The control plane: it knows every tenant, and tells every proxy and sidecar what holds.
//!
//! It joins the registry's journal, the issuers' keys and the passport key, compiles them to
//! Envoy resources, and pushes those by xDS; it takes usage events in and gives usage records
//! out. Its parts are in crates of their own: what is here is how they are joined ([`run`]), what
//! Envoy is told ([`envoy`]), what is pushed when ([`publisher`]) and the HTTP interface.
//!
//! It is on no request's way: with it gone, proxies and sidecars keep serving.

mod admin;
mod artifacts;
pub mod canary;
mod compiler;
pub mod envoy;
mod exposure;
mod moves;
pub mod observe;
pub mod operators;
pub mod publisher;
pub mod revisions;
mod rollout;
mod serve;
pub mod shadow;
mod signing;
pub mod topology;
mod wasm;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use identity::{Freshness, KeySets};
use passport::seal::SealKey;
use registry::{Ledger, Registry};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tonic::{service::Routes, transport::server::TcpIncoming};
use xds::{AdsService, Proxies, SnapshotStore};

pub use crate::{
    admin::openapi,
    exposure::{Access, ExposureError, TlsFiles},
};
use crate::{
    artifacts::ArtifactStore,
    compiler::Compiler,
    operators::{ITSELF, Roster},
    publisher::Publisher,
    serve::Certificate,
    shadow::ShadowCounts,
    signing::PassportKeys,
    wasm::WasmModules,
};

/// Under which name the issuers' keys are kept over a restart.
const KEYS_DOCUMENT: &str = "issuer-keys";

/// How often a changed certificate is looked for.
const CERTIFICATE_ROUND: Duration = Duration::from_secs(30);

/// How often an idle xDS connection is probed, so that a proxy that vanished is noticed.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Where the control plane keeps its state and listens.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder for the journal, the usage ledger, artifacts and the passport key.
    pub state_dir: PathBuf,
    /// Where proxies and sidecars connect (gRPC), and proxies fetch code. Port 0 takes a free one.
    pub grpc: SocketAddr,
    /// Where operators and sidecars (for artifacts and usage) connect.
    pub http: SocketAddr,
    /// The folder that holds `gate.wasm` and `recheck.wasm`.
    pub wasm_dir: PathBuf,
    /// The seal key, 64 hexadecimal digits; the gateways' Envoys are given the same.
    pub seal_key: String,
    /// What is shown of decisions.
    pub observe: observe::Observe,
    /// Who may use [`Options::http`].
    pub access: Access,
}

/// A control plane that runs. Dropping it stops it.
pub struct Running {
    /// Where proxies and sidecars connect.
    pub grpc: SocketAddr,
    /// Where operators connect.
    pub http: SocketAddr,
    /// What is served to whom.
    pub store: SnapshotStore,
    /// What each proxy accepted.
    pub proxies: Proxies,
    /// The registry.
    pub registry: Registry,
    roster: Option<Arc<Roster>>,
    certificate: Option<Arc<Certificate>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// Runs the control plane until SIGINT or SIGTERM.
///
/// # Errors
/// Whatever keeps it from starting, or made a part of it fail.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut running = start(options).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
        .context("cannot listen for SIGHUP")?;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
            _ = hangup.recv() => running.reload(),
            failed = running.failure() => return failed,
        }
    }
    running.stop().await
}

/// Starts the control plane and returns once it listens.
///
/// # Errors
/// Whatever keeps it from starting.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    exposure::check(options.grpc, options.http, &options.access)?;
    let roster = options.access.operators.as_deref().map(Roster::open).transpose()?.map(Arc::new);
    let certificate = options.access.tls.clone().map(Certificate::open).transpose()?.map(Arc::new);
    if roster.is_none() {
        tracing::warn!(
            http = %options.http,
            "there are no operators: everybody on this machine is an admin; see --operators"
        );
    }
    let seal_key = SealKey::from_hex(&options.seal_key)?;
    std::fs::create_dir_all(&options.state_dir)
        .with_context(|| format!("cannot create {}", options.state_dir.display()))?;
    let passports = PassportKeys::open(&options.state_dir, seal_key)?;
    let wasm = Arc::new(WasmModules::load(&options.wasm_dir)?);
    let artifacts = ArtifactStore::open(options.state_dir.join("artifacts"))?;
    let registry = Registry::open(options.state_dir.join("journal.db")).await?;
    let ledger = Ledger::open(options.state_dir.join("usage.db")).await?;
    seed(&registry).await?;

    let keys = Arc::new(KeySets::start(
        identity::http_client()?,
        Freshness::default(),
        identity::system_clock(),
    ));
    if let Some(kept) = registry.document(KEYS_DOCUMENT).await?
        && let Err(error) = keys.import(&kept)
    {
        tracing::error!(%error, "the kept issuer keys cannot be read; they are fetched anew");
    }
    keys.set_issuers(registry.state().resolved.issuers.keys().cloned());

    let store = SnapshotStore::new();
    let proxies = Proxies::new();
    let publisher = Arc::new(Publisher::new(
        store.clone(),
        proxies.clone(),
        registry.clone(),
        Arc::clone(&keys),
        Compiler::new(passports, &wasm, options.observe)?,
    ));

    let grpc = bind(options.grpc, "--grpc").await?;
    let http = bind(options.http, "--http").await?;
    let (grpc_at, http_at) = (grpc.local_addr()?, http.local_addr()?);
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();

    let group_of = Arc::clone(&publisher);
    let ads = AdsService::new(store.clone(), move |node| group_of.admit(node), proxies.clone());
    let shadow = ShadowCounts::new();
    let metrics = shadow.clone().into_server();
    let mut routes = Routes::new(ads.into_server()).add_service(metrics);
    let router = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() = router.merge(wasm::router(Arc::clone(&wasm)));
    let mut until = stopped.clone();
    tasks.spawn(async move {
        // The server's own setting is for sockets that it opens itself. Without this a push waits 40 ms
        // for the receipt of the one before.
        let incoming = TcpIncoming::from(grpc).with_nodelay(Some(true));
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, async move {
                stop_asked(&mut until).await;
            })
            .await
            .context("the xDS server failed")
    });

    let app = admin::router(admin::Parts {
        registry: registry.clone(),
        ledger,
        artifacts,
        wasm,
        publisher: Arc::clone(&publisher),
        proxies: proxies.clone(),
        store: store.clone(),
        keys: Arc::clone(&keys),
        shadow,
        roster: roster.clone(),
    });
    let mut until = stopped.clone();
    let serving = certificate.clone();
    tasks.spawn(async move {
        let until = async move { stop_asked(&mut until).await };
        serve::serve(http, serving.as_deref(), app, until).await
    });
    if let Some(certificate) = certificate.clone() {
        tasks.spawn(keep_certificate(certificate, stopped.clone()));
    }
    tasks.spawn(carry_out_moves(Arc::clone(&publisher), stopped.clone()));
    tasks.spawn(follow(publisher, registry.clone(), keys, stopped));
    tracing::info!(grpc = %grpc_at, http = %http_at, "control plane listens");
    Ok(Running {
        grpc: grpc_at,
        http: http_at,
        store,
        proxies,
        registry,
        roster,
        certificate,
        stop,
        tasks,
    })
}

impl Running {
    /// Reads the operators' file and the certificate again.
    pub fn reload(&self) {
        if let Some(roster) = &self.roster {
            roster.reload();
        }
        if let Some(certificate) = &self.certificate {
            certificate.refresh();
        }
    }

    /// Waits until a part fails.
    async fn failure(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(error).context("a part of the control plane panicked"),
            None => Ok(()),
        }
    }

    /// Stops it: streams are closed, what is under way is finished within a bound.
    ///
    /// # Errors
    /// Where a part had failed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(5);
        self.stop.send_replace(true);
        self.store.close();
        let ended = async {
            while let Some(task) = self.tasks.join_next().await {
                task.context("a part of the control plane panicked")??;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, ended).await.unwrap_or(Ok(()))
    }
}

/// An empty registry starts with the shipped tiers, as journal entries like any other.
async fn seed(registry: &Registry) -> anyhow::Result<()> {
    if registry.state().seq == 0 {
        registry.apply(ITSELF, catalog::tiers()?, None).await?;
    }
    Ok(())
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; give {flag} a free address"))
}

async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which asks for the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn carry_out_moves(
    publisher: Arc<Publisher>,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    tokio::select! {
        () = publisher.carry_out_moves() => {}
        () = stop_asked(&mut stopped) => {}
    }
    Ok(())
}

/// Publishes whenever the registry or an issuer's keys change, and notes revisions of which the
/// journal does not know yet. What a change of resources has published already is not published
/// again.
async fn follow(
    publisher: Arc<Publisher>,
    registry: Registry,
    keys: Arc<KeySets>,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut states = registry.watch();
    let mut key_sets = keys.watch();
    loop {
        // Where a change comes meanwhile, it may be in what is published or not: its own wake-up
        // follows.
        let changed_seq = registry.state().changed_seq;
        match publisher.publish() {
            Ok(revision) => {
                let noted = registry.revision_published(ITSELF, &revision, changed_seq).await;
                if let Err(error) = noted {
                    tracing::error!(%error, revision, "the journal does not name this revision");
                }
            }
            // The last good snapshot stays in force.
            Err(error) => tracing::error!(%error, "nothing was pushed"),
        }
        tokio::select! {
            changed = states.changed() => {
                changed?;
                states.mark_unchanged();
            }
            changed = key_sets.changed() => {
                changed?;
                key_sets.mark_unchanged();
                if let Err(error) = registry.put_document(KEYS_DOCUMENT, &keys.export()).await {
                    // They are in force all the same; after a restart they are fetched again.
                    tracing::error!(%error, "the issuers' keys could not be kept");
                }
            }
            () = stop_asked(&mut stopped) => return Ok(()),
        }
    }
}

async fn keep_certificate(
    certificate: Arc<Certificate>,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(CERTIFICATE_ROUND) => certificate.refresh(),
            () = stop_asked(&mut stopped) => return Ok(()),
        }
    }
}
