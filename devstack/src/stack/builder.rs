//! What to start, and in which order.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use super::{
    Plane, Stack, apply, healthy,
    plane::{PlaneOptions, node_id},
    resources::{Declared, PlaneSpec},
    state_dir::StateDir,
};
use crate::{
    dev_issuer::{DevIssuer, Org},
    environment,
    envoy::{Envoy, EnvoyOptions, Role},
    ports,
    process::{Launch, Service},
    relay::{Relay, RelayOptions},
};

/// The node id of the ingress.
const INGRESS: &str = "ingress";

/// One org in so many gets RS256 keys, the others ES256.
const RS256_EVERY: usize = 8;

/// What to start.
#[derive(Debug, Clone)]
pub struct StackBuilder {
    bulkhead: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    keep_state: bool,
    listen: Option<SocketAddr>,
    ingress_workers: u32,
    resources: Vec<PathBuf>,
    sidecar_arguments: Vec<String>,
    patience: Duration,
}

impl Default for StackBuilder {
    fn default() -> Self {
        Self {
            bulkhead: None,
            state_dir: None,
            keep_state: false,
            listen: None,
            ingress_workers: 2,
            resources: vec![environment::repository().join("examples/flights/resources")],
            sidecar_arguments: Vec::new(),
            patience: Duration::from_secs(60),
        }
    }
}

impl StackBuilder {
    /// The `bulkhead` binary; [`environment::bulkhead`] where it is not said.
    #[must_use]
    pub fn bulkhead(mut self, program: impl Into<PathBuf>) -> Self {
        self.bulkhead = Some(program.into());
        self
    }

    /// Where state and logs go; a temporary folder where it is not said.
    #[must_use]
    pub fn state_dir(mut self, state_dir: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(state_dir.into());
        self
    }

    /// Whether to go on with the state of an earlier run instead of starting anew.
    #[must_use]
    pub const fn keep_state(mut self, keep: bool) -> Self {
        self.keep_state = keep;
        self
    }

    /// Where the ingress listens; a free port of 127.0.0.1 where it is not said.
    #[must_use]
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// How many worker threads the ingress Envoy has.
    #[must_use]
    pub const fn ingress_workers(mut self, workers: u32) -> Self {
        self.ingress_workers = workers;
        self
    }

    /// The files and folders of resources to apply instead of the flights example's. The data
    /// planes that their tenants name are the ones that are started.
    #[must_use]
    pub fn resources(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        self.resources = paths.into_iter().collect();
        self
    }

    /// A further argument for every sidecar, such as `--max-body-bytes`.
    #[must_use]
    pub fn sidecar_argument(mut self, argument: impl Into<String>) -> Self {
        self.sidecar_arguments.push(argument.into());
        self
    }

    /// How long to wait for each thing to become ready.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts everything and waits until it serves: every proxy has taken what it was sent, and
    /// every sidecar is ready.
    ///
    /// # Errors
    /// Where something is missing, is refused or does not become ready; with the end of its log.
    pub async fn start(self) -> Result<Stack> {
        let bulkhead = match &self.bulkhead {
            Some(program) => program.clone(),
            None => environment::bulkhead()?,
        };
        let state = StateDir::open(self.state_dir.clone(), self.keep_state)?;
        let declared = Declared::read(&self.resources)?;
        let issuer = DevIssuer::start(orgs(&declared)).await?;
        let (xds_grpc, xds_http) = (ports::free()?, ports::free()?);

        let xds_server = Service::start(
            Launch::new("xds-server", &bulkhead, &state.logs())
                .args([
                    "xds-server".into(),
                    "--state".into(),
                    state.folder("xds-server")?.into_os_string(),
                ])
                .args([
                    "--grpc".into(),
                    xds_grpc.to_string(),
                    "--http".into(),
                    xds_http.to_string(),
                ])
                .args(["--wasm-dir".into(), environment::wasm_dir()?.into_os_string()])
                .env("BULKHEAD_SEAL_KEY", state.seal_key()?),
        )?;
        healthy(&xds_server, xds_http, self.patience).await?;

        let endpoints = declared
            .planes
            .iter()
            .map(|plane| Ok((plane.clone(), ports::free()?)))
            .collect::<Result<Vec<(PlaneSpec, SocketAddr)>>>()?;
        let rendered = declared.render(&state.folder("resources")?, &endpoints, &issuer)?;
        apply(&bulkhead, &format!("http://{xds_http}"), &rendered).await.with_context(|| {
            format!("the log of the xds-server ends:\n{}", xds_server.log_tail(10))
        })?;

        let relay = async |envoy: &str| -> Result<Relay> {
            let relay = Relay::start(RelayOptions {
                envoy,
                bulkhead: &bulkhead,
                state: state.folder(&format!("relay-{envoy}"))?,
                xds_grpc,
                logs: state.logs(),
            })?;
            relay.ready(self.patience).await?;
            Ok(relay)
        };
        let ingress_relay = relay(INGRESS).await?;
        let mut planes = Vec::new();
        for (spec, listen) in endpoints {
            planes.push(Plane::start(PlaneOptions {
                relay: relay(&node_id(&spec)).await?,
                spec,
                listen,
                xds_grpc,
                xds_http,
                bulkhead: &bulkhead,
                state: &state,
                sidecar_arguments: &self.sidecar_arguments,
            })?);
        }
        let ingress = Envoy::start(EnvoyOptions {
            node_id: INGRESS.to_owned(),
            role: Role::Ingress { seal_key: state.seal_key()? },
            listen: match self.listen {
                Some(listen) => listen,
                None => ports::free()?,
            },
            xds_grpc: ingress_relay.listen(),
            workers: self.ingress_workers,
            folder: state.logs(),
        })?;
        let patience = self.patience;
        let stack = Stack {
            ingress,
            ingress_relay,
            planes,
            xds_server,
            issuer,
            xds_grpc,
            xds_http,
            bulkhead,
            patience,
            state,
        };
        stack.await_ready().await?;
        Ok(stack)
    }
}

impl Stack {
    async fn await_ready(&self) -> Result<()> {
        for plane in &self.planes {
            plane.sidecar_ready(self.patience).await?;
            plane.node().ready(self.patience).await?;
        }
        self.ingress.ready(self.patience).await?;
        self.settled().await
    }
}

fn orgs(declared: &Declared) -> Vec<Org> {
    let org = |(index, id): (usize, &tenancy::TenantId)| {
        if index % RS256_EVERY == 0 { Org::rs256(id.clone()) } else { Org::new(id.clone()) }
    };
    declared.tenants.iter().enumerate().map(org).collect()
}
