//! The processes of one Bulkhead: issuer, control plane, ingress, and for each data plane a node
//! Envoy with its sidecar. Each Envoy has a relay.

mod builder;
mod plane;
mod resources;
mod settled;
mod state_dir;

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

pub use builder::StackBuilder;
pub use plane::Plane;

use crate::{dev_issuer::DevIssuer, envoy::Envoy, http, process::Service, relay::Relay, until};
use state_dir::StateDir;

/// A running Bulkhead. Dropping it stops everything, the ingress first.
#[derive(Debug)]
pub struct Stack {
    ingress: Envoy,
    ingress_relay: Relay,
    planes: Vec<Plane>,
    xds_server: Service,
    issuer: DevIssuer,
    xds_grpc: SocketAddr,
    xds_http: SocketAddr,
    bulkhead: PathBuf,
    patience: Duration,
    state: StateDir,
}

/// A process of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStatus {
    /// Its name, which is also that of its log.
    pub name: String,
    /// Its id, where it runs.
    pub pid: Option<u32>,
    /// How often it ended unasked and was started again.
    pub restarts: u32,
}

impl Stack {
    /// What to start, with everything at its default.
    pub fn builder() -> StackBuilder {
        StackBuilder::default()
    }

    /// The development issuer.
    pub fn issuer(&self) -> &DevIssuer {
        &self.issuer
    }

    /// The ingress Envoy.
    pub fn ingress(&self) -> &Envoy {
        &self.ingress
    }

    /// The ingress Envoy's relay.
    pub fn ingress_relay(&self) -> &Relay {
        &self.ingress_relay
    }

    /// What callers call, without a final slash.
    pub fn ingress_url(&self) -> String {
        format!("http://{}", self.ingress.options().listen)
    }

    /// The xds-server's HTTP API, without a final slash.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.xds_http)
    }

    /// The xds-server's ADS address.
    pub fn xds_grpc(&self) -> SocketAddr {
        self.xds_grpc
    }

    /// The data planes, sorted by name.
    pub fn planes(&self) -> &[Plane] {
        &self.planes
    }

    /// The data plane called `name`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn plane(&self, name: &str) -> Result<&Plane> {
        let found = self.planes.iter().find(|plane| plane.spec().id.as_str() == name);
        found.with_context(|| format!("expected a data plane of the stack, found `{name}`"))
    }

    /// Where state, logs and rendered resources lie.
    pub fn state_dir(&self) -> &Path {
        self.state.path()
    }

    /// Ends a data plane's sidecar with SIGKILL; it is started again at once.
    ///
    /// # Errors
    /// Where there is no such data plane.
    pub fn kill_sidecar(&self, plane: &str) -> Result<()> {
        self.plane(plane)?.sidecar().crash();
        Ok(())
    }

    /// Ends a data plane's sidecar in order, starts it and waits until it is ready.
    ///
    /// # Errors
    /// Where there is no such data plane, or it does not become ready.
    pub async fn restart_sidecar(&self, plane: &str) -> Result<()> {
        let plane = self.plane(plane)?;
        plane.sidecar().stop();
        plane.sidecar().start_again()?;
        plane.sidecar_ready(self.patience).await
    }

    /// Replaces a data plane's sidecar as an upgrade does: another one takes over from it, and it
    /// answers what it has in flight and ends.
    ///
    /// # Errors
    /// Where there is no such data plane, the next one does not become ready, or the one before does
    /// not end in order.
    pub async fn upgrade_sidecar(&self, plane: &str) -> Result<()> {
        let plane = self.plane(plane)?;
        let before = plane.sidecar().succeed(&["--take-over"])?;
        let mut before = before.context("expected a sidecar to take over from, found none")?;
        let waited = until("the sidecar before to end", self.patience, async || {
            plane.sidecar().check()?;
            Ok(before.exit_status())
        });
        let status = waited.await.with_context(|| plane.sidecar().log_tail(20))?;
        ensure!(status.success(), "expected the sidecar before to end in order, found {status}");
        plane.sidecar_ready(self.patience).await
    }

    /// Waits until a data plane's sidecar is ready.
    ///
    /// # Errors
    /// Where there is no such data plane, or it does not become ready.
    pub async fn sidecar_ready(&self, plane: &str) -> Result<()> {
        self.plane(plane)?.sidecar_ready(self.patience).await
    }

    /// Ends the xds-server with SIGKILL and leaves it down.
    pub fn kill_xds_server(&self) {
        self.xds_server.kill_hard();
    }

    /// Starts the xds-server again and waits until it answers.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn start_xds_server(&self) -> Result<()> {
        self.xds_server.start_again()?;
        healthy(&self.xds_server, self.xds_http, self.patience).await
    }

    /// Every process with what became of it.
    pub fn processes(&self) -> Vec<ProcessStatus> {
        self.services()
            .map(|service| ProcessStatus {
                name: service.name().to_owned(),
                pid: service.pid(),
                restarts: service.restarts(),
            })
            .collect()
    }

    /// Whether every process runs and none ever ended unasked.
    pub fn processes_alive(&self) -> bool {
        self.processes().iter().all(|process| process.pid.is_some() && process.restarts == 0)
    }

    /// Waits until every proxy and sidecar has taken what the xds-server sent it.
    ///
    /// # Errors
    /// Where one refuses it, in its words, or does not answer in time.
    pub async fn settled(&self) -> Result<()> {
        let names: Vec<String> = self.proxies().map(|service| service.name().to_owned()).collect();
        settled::settled(&self.admin_url(), &names, self.patience).await
    }

    /// Applies the resources of files and folders as `bulkhead apply` does, and returns what it
    /// printed.
    ///
    /// # Errors
    /// Where it fails; with what it said.
    pub async fn apply(&self, paths: &[PathBuf]) -> Result<String> {
        apply(&self.bulkhead, &self.admin_url(), paths).await
    }

    fn services(&self) -> impl Iterator<Item = &Service> {
        let relays = self.planes.iter().map(Plane::relay).chain([&self.ingress_relay]);
        [&self.xds_server].into_iter().chain(self.proxies()).chain(relays.map(Relay::service))
    }

    /// Those that the xds-server sends something to.
    fn proxies(&self) -> impl Iterator<Item = &Service> {
        let planes = self.planes.iter().flat_map(|plane| [plane.node().service(), plane.sidecar()]);
        [self.ingress.service()].into_iter().chain(planes)
    }
}

async fn healthy(xds_server: &Service, http: SocketAddr, patience: Duration) -> Result<()> {
    let url = format!("http://{http}/healthz");
    let waited = until("the xds-server to be healthy", patience, async || {
        xds_server.check()?;
        let answer = http::get(&url).await;
        Ok(answer.is_ok_and(|answer| answer.status.is_success()).then_some(()))
    });
    waited.await.with_context(|| format!("its log ends:\n{}", xds_server.log_tail(20)))
}

async fn apply(bulkhead: &Path, server: &str, paths: &[PathBuf]) -> Result<String> {
    let files = paths.iter().flat_map(|path| [OsString::from("--file"), path.into()]);
    let output = Command::new(bulkhead)
        .arg("apply")
        .args(files)
        .args(["--server", server])
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("could not start {}", bulkhead.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("bulkhead apply failed:\n{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(said)
}
