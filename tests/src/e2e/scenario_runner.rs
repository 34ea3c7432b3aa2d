//! Runs scenarios over real Envoys: an ingress of two workers with the gate, and a node with the
//! recheck for each data plane.

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use control_plane::envoy::{self, Code};
use devstack::environment;
use policy_model::resolved::{DataPlane, Resolved, Serves};
use tenancy::Digest;

use super::{
    echo::{self, REACHED},
    edge::Edge,
    raw_http::{self, RawAnswer},
};
use crate::scenario::{Deployment, Observed, Prepared, Runner, Target};

/// Envoys with a deployment's tables.
#[derive(Debug)]
pub struct RealEnvoy {
    edge: Edge,
}

impl RealEnvoy {
    /// Starts them and waits until they decide by the deployment's tables.
    ///
    /// # Errors
    /// Where an Envoy does not start, or refuses what it is sent.
    pub async fn start(deployment: &Deployment) -> Result<Self> {
        let planes = deployment.data_planes();
        let names: Vec<&str> = planes.iter().map(String::as_str).collect();
        let edge = Edge::start(&names, &deployment.seal_key()).await?;
        for plane in &planes {
            let group = edge.node_group(plane)?;
            let before = edge.control().store.get(&group).context("the node has not come")?;
            let socket = edge.socket(plane);
            let (listen, table) = (edge.node(plane)?, deployment.node_table(plane)?);
            let snapshot = envoy::node(listen, &socket, code("recheck")?, table);
            assert_ne!(before, snapshot, "the deployment's keys are its own");
            edge.push(&group, snapshot).await?;
        }
        let (listen, table) = (edge.ingress().options().listen, deployment.gate_table()?);
        let resolved = clusters(&edge, &planes)?;
        let snapshot = envoy::gateway(listen, &resolved, code("gate")?, table);
        edge.push(&edge.ingress_group(), snapshot).await?;
        Ok(Self { edge })
    }

    /// How many connections each worker of the ingress has taken.
    ///
    /// # Errors
    /// Where Envoy does not say.
    pub async fn connections_by_worker(&self) -> Result<Vec<u64>> {
        connections_by_worker(&self.edge).await
    }

    fn node(&self, data_plane: &str, request: &Prepared) -> Result<Observed> {
        observe(raw_http::exchange(self.edge.node(data_plane)?, &request.headers)?)
    }
}

impl Runner for RealEnvoy {
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn send(&mut self, request: &Prepared) -> Result<Observed> {
        match &request.target {
            Target::Node(data_plane) => self.node(data_plane, request),
            Target::Gate => {
                let ingress = self.edge.ingress().options().listen;
                observe(raw_http::exchange(ingress, &request.headers)?)
            }
        }
    }
}

/// How many connections each worker of an edge's ingress has taken.
///
/// # Errors
/// Where Envoy does not say.
pub async fn connections_by_worker(edge: &Edge) -> Result<Vec<u64>> {
    let stats = edge.ingress().stats("listener.*worker_.*downstream_cx_total").await?;
    Ok(stats.into_iter().filter(|(name, _)| !name.contains("admin")).map(|it| it.1).collect())
}

fn observe(answer: RawAnswer) -> Result<Observed> {
    Ok(match answer.header(REACHED) {
        Some(data_plane) => {
            Observed::Forwarded { data_plane, headers: echo::headers(&answer.body)? }
        }
        None => {
            let RawAnswer { status, headers, body } = answer;
            Observed::Denied { status, headers, body }
        }
    })
}

/// The filter's code, as the control plane serves it.
fn code(filter: &str) -> Result<Code> {
    let file = environment::wasm_dir()?.join(format!("{filter}.wasm"));
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Code { digest: Digest::of(&bytes) })
}

/// A cluster for each data plane.
fn clusters(edge: &Edge, planes: &[String]) -> Result<Resolved> {
    let plane = |name: &String| {
        let endpoint: SocketAddr = edge.node(name)?;
        Ok(DataPlane {
            id: name.parse()?,
            region: "here".to_owned(),
            serves: Serves::Shared,
            endpoints: vec![endpoint],
        })
    };
    let planes = planes.iter().map(plane).collect::<Result<Vec<_>>>()?;
    let data_planes = planes.into_iter().map(|plane| (plane.id.clone(), plane)).collect();
    Ok(Resolved { data_planes, ..Resolved::default() })
}
