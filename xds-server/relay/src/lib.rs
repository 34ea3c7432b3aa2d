//! The relay, which stands beside an Envoy, between it and the xds-server: it is what an Envoy
//! starts on while the xds-server is dead.
//!
//! While the xds-server answers, what the two say is passed on, message by message, so that the
//! xds-server hears the Envoy's own name, acknowledgements and refusals; what the Envoy has taken is
//! remembered, and so is the code that it fetched. While the xds-server does not answer, an Envoy
//! that connects is served what it took last.
//!
//! It decides nothing, and it knows neither tenants nor what a resource means, but for one thing:
//! which code a filter fetches. Nothing is ever taken away from an Envoy by it.
//!
//! Where to start reading: `ads` (one stream of an Envoy), `conversation` (what that tells of what
//! the Envoy has taken, without input or output), `memory` (what was taken), `saved` (the same on
//! the disk), `keeper` (when it is written), and `http` (what is not ADS).

mod ads;
mod code;
mod conversation;
mod files;
mod forward;
mod http;
mod keeper;
mod last_good;
mod memory;
mod resources;
mod saved;
mod upstream;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tonic::{service::Routes, transport::server::TcpIncoming};

use crate::{ads::Relay, files::StateDir, keeper::Keeper, memory::Memory, upstream::Upstream};

/// How often an idle connection of an Envoy is probed.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How long what is under way may take once the relay is to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Where a relay keeps its state, listens, and finds the xds-server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder for what Envoys have taken, and their code. It belongs to one relay alone.
    pub state_dir: PathBuf,
    /// Where Envoys connect: an address of this machine's loopback. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The xds-server's ADS, `http://host:port`.
    pub xds: String,
}

/// A relay that runs. Dropping it stops it, as a crash would.
#[derive(Debug)]
pub struct Running {
    /// Where Envoys connect.
    pub listen: SocketAddr,
    keeper: Keeper,
    stop: watch::Sender<bool>,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// Runs a relay until SIGINT or SIGTERM.
///
/// # Errors
/// Whatever keeps it from starting, or made a part of it fail.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut running = start(options).await?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        failed = running.failure() => return failed,
    }
    running.stop().await
}

/// Starts a relay and returns once it listens.
///
/// # Errors
/// Where `listen` is not loopback or taken, `xds` is no address, or another relay has the folder.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    ensure!(
        options.listen.ip().is_loopback(),
        "expected --listen to be a loopback address, found {}: whoever reaches a relay is given what \
         its Envoy has, so it stands on the Envoy's own machine",
        options.listen
    );
    let state = StateDir::open(&options.state_dir)?;
    let memory = Memory::new(saved::load_all(&state.snapshots())?);
    let upstream = Upstream::new(&options.xds)?;
    let keeper = Keeper::new(state, memory.clone(), upstream.clone());

    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!("cannot listen on {}; give --listen a free address", options.listen)
    })?;
    let listen = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let ads = Relay::new(memory, upstream.clone(), stopped.clone());
    let mut routes = Routes::new(ads.into_server());
    let router = std::mem::take(routes.axum_router_mut());
    let beside = http::router(upstream, keeper.code(), stopped.clone());
    *routes.axum_router_mut() = router.merge(beside);

    let mut tasks = JoinSet::new();
    let until = stop_asked(stopped.clone());
    tasks.spawn(async move {
        // The server's own setting is for sockets that it opens itself.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, until)
            .await
            .context("the relay's server failed")
    });
    let keeping = keeper.clone();
    tasks.spawn(async move {
        keeping.keep(stop_asked(stopped)).await;
        Ok(())
    });
    tracing::info!(%listen, xds = options.xds, "relay listens");
    Ok(Running { listen, keeper, stop, tasks })
}

impl Running {
    /// Waits until a part fails.
    async fn failure(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(error).context("a part of the relay panicked"),
            None => Ok(()),
        }
    }

    /// Stops it: streams are ended in order, and what was taken is saved.
    ///
    /// # Errors
    /// Where a part had failed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let ended = async {
            while let Some(task) = self.tasks.join_next().await {
                task.context("a part of the relay panicked")??;
            }
            anyhow::Ok(())
        };
        let ended = tokio::time::timeout(GRACE, ended).await.unwrap_or(Ok(()));
        self.keeper.save().await;
        ended
    }
}

async fn stop_asked(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which asks for the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}
