//! A data plane of one node: an Envoy with its relay, and a sidecar.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

pub use super::resources::PlaneSpec;
use super::state_dir::StateDir;
use crate::{
    envoy::{Envoy, EnvoyOptions, Role},
    http, ports,
    process::{Launch, Service},
    relay::Relay,
    until,
};

/// A running data plane.
#[derive(Debug)]
pub struct Plane {
    spec: PlaneSpec,
    node: Envoy,
    relay: Relay,
    sidecar: Service,
    socket: PathBuf,
    metrics: SocketAddr,
}

/// What a data plane is started with.
pub(super) struct PlaneOptions<'a> {
    pub(super) spec: PlaneSpec,
    pub(super) listen: SocketAddr,
    /// Of its Envoy, which speaks to it alone.
    pub(super) relay: Relay,
    pub(super) xds_grpc: SocketAddr,
    pub(super) xds_http: SocketAddr,
    pub(super) bulkhead: &'a Path,
    pub(super) state: &'a StateDir,
    pub(super) sidecar_arguments: &'a [String],
}

impl Plane {
    pub(super) fn start(options: PlaneOptions<'_>) -> Result<Self> {
        let name = options.spec.id.as_str();
        let socket = options.state.socket(name)?;
        let metrics = ports::free()?;
        let sidecar = Service::start(sidecar(&options, &socket, metrics)?)?;
        let node = Envoy::start(EnvoyOptions {
            node_id: node_id(&options.spec),
            role: Role::Node { data_plane: name.to_owned(), sidecar: socket.clone() },
            listen: options.listen,
            xds_grpc: options.relay.listen(),
            workers: 1,
            folder: options.state.logs(),
        })?;
        let PlaneOptions { spec, relay, .. } = options;
        Ok(Self { node, relay, sidecar, socket, metrics, spec })
    }

    /// What it was declared as.
    pub fn spec(&self) -> &PlaneSpec {
        &self.spec
    }

    /// Its Envoy.
    pub fn node(&self) -> &Envoy {
        &self.node
    }

    /// Its Envoy's relay.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Its Envoy as an ingress reaches it, without a final slash.
    pub fn node_url(&self) -> String {
        format!("http://{}", self.node.options().listen)
    }

    /// Its sidecar's process.
    pub fn sidecar(&self) -> &Service {
        &self.sidecar
    }

    /// The Unix socket that its sidecar listens at.
    pub fn sidecar_socket(&self) -> &Path {
        &self.socket
    }

    /// Where its sidecar's metrics are.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.metrics)
    }

    pub(super) async fn sidecar_ready(&self, patience: Duration) -> Result<()> {
        let what = format!("{} to be ready", self.sidecar.name());
        let waited = until(&what, patience, async || {
            self.sidecar.check()?;
            let answer = http::get_unix(&self.socket, "/v2/health/ready").await;
            Ok(answer.is_ok_and(|answer| answer.status.is_success()).then_some(()))
        });
        waited.await.with_context(|| format!("its log ends:\n{}", self.sidecar.log_tail(20)))
    }
}

/// The node id of a data plane's Envoy.
pub(super) fn node_id(spec: &PlaneSpec) -> String {
    format!("node-{}", spec.id)
}

fn sidecar(options: &PlaneOptions<'_>, socket: &Path, metrics: SocketAddr) -> Result<Launch> {
    let name = options.spec.id.as_str();
    let node_id = format!("sidecar-{name}");
    let state = options.state.folder(&node_id)?;
    Ok(Launch::new(&node_id, options.bulkhead, &options.state.logs())
        .args(["sidecar".into(), "--state".into(), state.into_os_string()])
        .args(["--listen".to_owned(), format!("unix:{}", socket.display())])
        .args(["--xds".to_owned(), format!("http://{}", options.xds_grpc)])
        .args(["--control".to_owned(), format!("http://{}", options.xds_http)])
        .args(["--node-id", &node_id, "--data-plane", name])
        .args(["--metrics".to_owned(), metrics.to_string()])
        .args(options.sidecar_arguments))
}
