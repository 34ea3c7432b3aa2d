//! A control plane in this process, with real Envoys behind their relays: an ingress of two workers
//! and a node for each data plane, behind which an echo stands for the sidecar.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use control_plane::{Options, Running, observe::Observe, topology};
use devstack::{
    environment,
    envoy::{Envoy, EnvoyOptions, Role},
    ports,
    relay::{Relay, RelayOptions},
};
use tempfile::TempDir;
use xds::Snapshot;

use super::echo::Echo;

/// How long anything may take to become ready. Waiting ends as soon as it is.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running edge. Dropping it stops it.
#[derive(Debug)]
pub struct Edge {
    ingress: Envoy,
    _ingress_relay: Relay,
    nodes: BTreeMap<String, Node>,
    control: Control,
    options: Options,
    seal_key: String,
    folder: TempDir,
}

#[derive(Debug)]
struct Node {
    envoy: Envoy,
    _relay: Relay,
    echo: Echo,
}

/// `Running` has no `Debug`.
struct Control(Running);

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Control").field(&self.0.http).finish()
    }
}

impl Edge {
    /// Starts it. The registry holds the shipped tiers and nothing else, so nobody is served yet.
    ///
    /// # Errors
    /// Where something is missing or does not become ready.
    pub async fn start(data_planes: &[&str], seal_key: &str) -> Result<Self> {
        let (wasm_dir, observe) = (environment::wasm_dir()?, Observe::default());
        Self::start_with(data_planes, seal_key, wasm_dir, observe).await
    }

    /// Starts it with filters from another folder, and what is to be shown of decisions.
    ///
    /// # Errors
    /// Where something is missing or does not become ready.
    pub async fn start_with(
        data_planes: &[&str],
        seal_key: &str,
        wasm_dir: PathBuf,
        observe: Observe,
    ) -> Result<Self> {
        let folder = TempDir::with_prefix("bulkhead-edge-")?;
        let options = Options {
            state_dir: folder.path().join("xds-server"),
            grpc: ports::free()?,
            http: ports::free()?,
            wasm_dir,
            seal_key: seal_key.to_owned(),
            observe,
            access: control_plane::Access::default(),
        };
        let control = control_plane::start(options.clone()).await?;
        let (bulkhead, logs) = (environment::bulkhead()?, folder.path().join("logs"));
        let relay = async |envoy: &str| -> Result<Relay> {
            let relay = Relay::start(RelayOptions {
                envoy,
                bulkhead: &bulkhead,
                state: folder.path().join(format!("relay-{envoy}")),
                xds_grpc: control.grpc,
                logs: logs.clone(),
            })?;
            relay.ready(PATIENCE).await?;
            Ok(relay)
        };
        let start = |node_id: &str, role, workers, relay: &Relay| {
            Envoy::start(EnvoyOptions {
                node_id: node_id.to_owned(),
                role,
                listen: ports::free()?,
                xds_grpc: relay.listen(),
                workers,
                folder: logs.clone(),
            })
        };
        let mut nodes = BTreeMap::new();
        for data_plane in data_planes {
            let socket = socket(&folder, data_plane);
            let echo = Echo::start(&socket, data_plane)?;
            let role = Role::Node { data_plane: (*data_plane).to_owned(), sidecar: socket };
            let node_id = format!("node-{data_plane}");
            let relay = relay(&node_id).await?;
            let envoy = start(&node_id, role, 1, &relay)?;
            nodes.insert((*data_plane).to_owned(), Node { envoy, _relay: relay, echo });
        }
        let ingress_relay = relay("ingress").await?;
        let role = Role::Ingress { seal_key: seal_key.to_owned() };
        let ingress = start("ingress", role, 2, &ingress_relay)?;
        let edge = Self {
            ingress,
            _ingress_relay: ingress_relay,
            nodes,
            control: Control(control),
            options,
            seal_key: seal_key.to_owned(),
            folder,
        };
        for node in edge.nodes.values() {
            node.envoy.ready(PATIENCE).await?;
        }
        edge.ingress.ready(PATIENCE).await?;
        Ok(edge)
    }

    /// Stops the control plane and starts it with filters from another folder, as an upgrade
    /// does. The Envoys run on.
    ///
    /// # Errors
    /// Where it does not stop in order, or does not start.
    pub async fn upgrade_control(self, wasm_dir: PathBuf) -> Result<Self> {
        let Self { control, mut options, .. } = self;
        control.0.stop().await?;
        options.wasm_dir = wasm_dir;
        let control = Control(control_plane::start(options.clone()).await?);
        Ok(Self { control, options, ..self })
    }

    /// Starts another ingress of one worker, and waits until it is ready.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub async fn another_ingress(&self, node_id: &str) -> Result<Envoy> {
        let ingress = Envoy::start(EnvoyOptions {
            node_id: node_id.to_owned(),
            role: Role::Ingress { seal_key: self.seal_key.clone() },
            listen: ports::free()?,
            workers: 1,
            ..self.ingress.options().clone()
        })?;
        ingress.ready(PATIENCE).await?;
        Ok(ingress)
    }

    /// The ingress.
    pub fn ingress(&self) -> &Envoy {
        &self.ingress
    }

    /// What callers call, without a final slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.ingress.options().listen)
    }

    /// Where the node of a data plane listens.
    ///
    /// # Errors
    /// Where there is none.
    pub fn node(&self, data_plane: &str) -> Result<SocketAddr> {
        let node = self.nodes.get(data_plane);
        Ok(node.with_context(|| format!("no data plane `{data_plane}`"))?.envoy.options().listen)
    }

    /// Counters of a data plane's node whose names `filter` matches.
    ///
    /// # Errors
    /// Where there is no such data plane, or its Envoy does not say.
    pub async fn node_stats(&self, data_plane: &str, filter: &str) -> Result<Vec<(String, u64)>> {
        let node = self.nodes.get(data_plane);
        node.with_context(|| format!("no data plane `{data_plane}`"))?.envoy.stats(filter).await
    }

    /// How many requests have reached what stands for the sidecars, and were denied by no check
    /// there.
    pub fn reached(&self) -> u64 {
        self.nodes.values().map(|node| node.echo.answered()).sum()
    }

    /// What stands for the sidecar of a data plane.
    ///
    /// # Errors
    /// Where there is no such data plane.
    pub fn echo(&self, data_plane: &str) -> Result<&Echo> {
        let node = self.nodes.get(data_plane);
        Ok(&node.with_context(|| format!("no data plane `{data_plane}`"))?.echo)
    }

    /// The control plane.
    pub fn control(&self) -> &Running {
        &self.control.0
    }

    /// The control plane's HTTP interface, without a final slash.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.control.0.http)
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the echo of a data plane listens.
    pub fn socket(&self, data_plane: &str) -> PathBuf {
        socket(&self.folder, data_plane)
    }

    /// The group of the ingress.
    pub fn ingress_group(&self) -> String {
        topology::Role::Gateway { listen: self.ingress.options().listen }.to_string()
    }

    /// The group of a data plane's node.
    ///
    /// # Errors
    /// Where there is no such data plane.
    pub fn node_group(&self, data_plane: &str) -> Result<String> {
        let role = topology::Role::Node {
            data_plane: data_plane.parse()?,
            listen: self.node(data_plane)?,
            sidecar: self.socket(data_plane),
        };
        Ok(role.to_string())
    }

    /// Pushes a snapshot past the compiler, and waits until the group's proxy has it in force.
    ///
    /// # Errors
    /// Where it refuses it, in its words, or does not answer.
    pub async fn push(&self, group: &str, snapshot: Snapshot) -> Result<()> {
        let Running { store, proxies, .. } = &self.control.0;
        store.set(group, snapshot.clone());
        let progress = proxies.settled(group, &snapshot, PATIENCE).await;
        ensure!(progress.refused.is_empty(), "{group} refused it: {:?}", progress.refused);
        ensure!(!progress.accepted.is_empty(), "{group} did not take it: {progress:?}");
        Ok(())
    }
}

fn socket(folder: &TempDir, data_plane: &str) -> PathBuf {
    folder.path().join(format!("{data_plane}.sock"))
}
