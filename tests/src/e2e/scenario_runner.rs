//! Plays scenarios over real Envoys: an ingress of two workers with the gate, and a node with the
//! recheck for each data plane, behind which a server without models decides by the sidecar's own
//! code. Promotions are asked of the control plane's HTTP interface.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use control_plane::envoy;
use devstack::environment;
use policy_model::{
    diagnostic::{Diagnostic, Severity},
    resolved::Resolved,
    spec::Resource,
    table::{GateTable, NodeTable},
};
use scenario::{
    Deployment, Error, Observed, Prepared, Runner, Said, Sidecar,
    format::{LONGEST_WAIT, Target, Way},
};
use serde_json::{Value, json};
use tenancy::Digest;
use tokio::runtime::Handle;

use super::{
    caller::Caller,
    echo::{self, REACHED},
    edge::{Edge, PATIENCE},
    raw_http::{self, Body, RawAnswer},
};

/// How often in a row a proxy must decide by a table before all of its workers are taken to.
const SURE: usize = 20;

/// What Envoy sets where it believes nothing that a caller says for Envoy. It does not, where it
/// takes the caller for one of its own.
const FOR_A_STRANGER: &str = "x-envoy-external-address";

/// Envoys that are given a scenario's tables.
#[derive(Debug)]
pub struct RealEnvoy {
    edge: Edge,
    runtime: Handle,
    planes: Vec<String>,
    deployment: Option<Deployment>,
    /// The table that each proxy was given last.
    tables: BTreeMap<String, Vec<u8>>,
}

impl RealEnvoy {
    /// Starts an ingress and a node for each of `planes`. `seal_key` is the deployments'.
    ///
    /// # Errors
    /// Where an Envoy does not start.
    pub async fn start(planes: &[String], seal_key: &str) -> Result<Self> {
        let names: Vec<&str> = planes.iter().map(String::as_str).collect();
        Ok(Self {
            edge: Edge::start(&names, seal_key).await?,
            runtime: Handle::current(),
            planes: planes.to_vec(),
            deployment: None,
            tables: BTreeMap::new(),
        })
    }

    /// How many connections each worker of the ingress has taken.
    ///
    /// # Errors
    /// Where Envoy does not say.
    pub async fn connections_by_worker(&self) -> Result<Vec<u64>> {
        connections_by_worker(&self.edge).await
    }

    fn put_in_force(&mut self, deployment: &Deployment) -> Result<()> {
        for plane in self.planes.clone() {
            if deployment.data_planes().any(|name| name == plane) {
                self.push_to_node(deployment, &plane)?;
                self.edge.echo(&plane)?.decide_by(Sidecar::of(deployment, &plane)?);
            }
        }
        self.push_to_ingress(deployment)?;
        self.deployment = Some(deployment.clone());
        Ok(())
    }

    fn push_to_node(&mut self, deployment: &Deployment, plane: &str) -> Result<()> {
        let table = deployment.node_table(plane)?;
        if self.tables.get(plane) == Some(&table) {
            return Ok(());
        }
        let (listen, group) = (self.edge.node(plane)?, self.edge.node_group(plane)?);
        let socket = self.edge.socket(plane);
        let recheck = envoy::recheck(code("recheck")?, table.clone());
        let snapshot = envoy::node(listen, &socket, &recheck, None);
        self.runtime.block_on(self.edge.push(&group, snapshot))?;
        until_it_decides_by(listen, &NodeTable::decode(&table)?.revision)?;
        self.tables.insert(plane.to_owned(), table);
        Ok(())
    }

    fn push_to_ingress(&mut self, deployment: &Deployment) -> Result<()> {
        let group = self.edge.ingress_group();
        let table = deployment.gate_table()?;
        if self.tables.get(&group) == Some(&table) {
            return Ok(());
        }
        let listen = self.edge.ingress().options().listen;
        let resolved = self.with_real_endpoints(deployment)?;
        let gate = envoy::gate(code("gate")?, table.clone());
        let snapshot = envoy::gateway(listen, &resolved, &gate, envoy::Shown::default());
        self.runtime.block_on(self.edge.push(&group, snapshot))?;
        until_it_decides_by(listen, GateTable::decode(&table)?.revision())?;
        self.tables.insert(group, table);
        Ok(())
    }

    /// The deployment's data planes, where their nodes listen.
    fn with_real_endpoints(&self, deployment: &Deployment) -> Result<Resolved> {
        let mut resolved = deployment.resolved().clone();
        for plane in resolved.data_planes.values_mut() {
            plane.endpoints = vec![self.edge.node(plane.id.as_str())?];
        }
        Ok(resolved)
    }

    async fn shadow(&self) -> Result<BTreeMap<String, u64>> {
        let Some(deployment) = &self.deployment else { return Ok(BTreeMap::new()) };
        let pairs: Vec<(&str, &str)> = deployment.checked().collect();
        if pairs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut failures = BTreeMap::new();
        for plane in &self.planes {
            for (check, count) in self.edge.echo(plane)?.shadow() {
                *failures.entry(check).or_default() += count;
            }
        }
        let mut stats = self.edge.ingress().stats("bulkhead.shadow").await?;
        for plane in &self.planes {
            stats.extend(self.edge.node_stats(plane, "bulkhead.shadow").await?);
        }
        for (check, tenant) in pairs {
            let ending = format!("bulkhead.shadow.{check}.{tenant}");
            let counts = stats.iter().filter(|(name, _)| name.ends_with(&ending));
            *failures.entry(check.to_owned()).or_default() += counts.map(|it| it.1).sum::<u64>();
        }
        Ok(failures)
    }

    /// What the control plane answers to a dry run of applying `resources` and nothing else.
    async fn dry_run(&self, resources: &[Resource], tenant: &str) -> Result<Observed> {
        let documents = resources.iter().map(|resource| resource.to_json().to_string());
        let text = documents.collect::<Vec<_>>().join("\n---\n");
        let request = json!({"files": [{"name": "scenario", "text": text}], "prune": true});
        let answer = Caller::new(&self.edge.admin_url())?.post("/v1/diff", None, &request).await?;
        let body: Value = serde_json::from_slice(&answer.body)?;
        let diagnostics = |member: &str| -> Result<Vec<Diagnostic>> {
            let found = body.get(member).cloned().unwrap_or_else(|| json!([]));
            Ok(serde_json::from_value(found)?)
        };
        match answer.status {
            200 => {
                let of_it = format!("Tenant/{tenant}");
                let warnings = diagnostics("warnings")?;
                Ok(Observed::Promoted(Said::all(warnings.iter().filter(|it| it.resource == of_it))))
            }
            422 => {
                let mistakes = diagnostics("diagnostics")?;
                Ok(Observed::Refused(Said::all(
                    mistakes.iter().filter(|it| it.severity == Severity::Error),
                )))
            }
            status => bail!("expected 200 or 422 of /v1/diff, found {status}: {body}"),
        }
    }

    fn exchange(&self, request: &Prepared) -> Result<Observed> {
        let address = match &request.target {
            Target::Node(data_plane) => self.edge.node(data_plane)?,
            Target::Gate => self.edge.ingress().options().listen,
        };
        let body = Body { bytes: request.body_bytes, chunked: request.chunked };
        let observed = observe(raw_http::exchange(address, &request.headers, body)?)?;
        if let (Target::Gate, Observed::Forwarded { headers, .. }) = (&request.target, &observed) {
            let is_said = headers.iter().any(|(name, _)| name == FOR_A_STRANGER);
            ensure!(is_said, "expected {FOR_A_STRANGER} to arrive, found {headers:?}");
        }
        Ok(observed)
    }
}

impl Runner for RealEnvoy {
    fn way(&self) -> Way {
        Way::Envoy
    }

    fn begin(&mut self, deployment: &Deployment, _at: u64) -> Result<(), Error> {
        self.put_in_force(deployment).map_err(failed)
    }

    fn push(&mut self, deployment: &Deployment) -> Result<(), Error> {
        self.put_in_force(deployment).map_err(failed)
    }

    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn go_to(&mut self, at: u64) -> Result<(), Error> {
        let longest = self.now().saturating_add_signed(LONGEST_WAIT.as_secs());
        if at > longest {
            return Err(Error::Runner(format!("nobody sets Envoy's clock to {at}")));
        }
        while self.now() < at {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn send(&mut self, request: &Prepared) -> Result<Observed, Error> {
        self.exchange(request).map_err(failed)
    }

    fn promote(&mut self, resources: &[Resource], tenant: &str) -> Result<Observed, Error> {
        self.runtime.block_on(self.dry_run(resources, tenant)).map_err(failed)
    }

    fn shadow_failures(&mut self) -> Result<BTreeMap<String, u64>, Error> {
        self.runtime.block_on(self.shadow()).map_err(failed)
    }

    fn reached(&mut self) -> Result<u64, Error> {
        Ok(self.edge.reached())
    }
}

fn failed(error: anyhow::Error) -> Error {
    Error::Runner(format!("{error:#}"))
}

/// Waits until whoever calls the proxy is denied by the table of this revision: that a proxy has
/// accepted a table does not say that each of its workers has it yet.
fn until_it_decides_by(address: SocketAddr, revision: &str) -> Result<()> {
    let nobody = [(":method", "GET"), (":path", "/"), (":authority", "nobody")]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let (began, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < SURE {
        ensure!(began.elapsed() < PATIENCE, "{address} does not decide by table {revision}");
        let body = raw_http::exchange(address, &nobody, Body::default())?.body;
        let problem: serde_json::Value = serde_json::from_slice(&body)
            .with_context(|| format!("found `{}`", String::from_utf8_lossy(&body)))?;
        let is_it = problem["revision"] == revision;
        in_a_row = if is_it { in_a_row + 1 } else { 0 };
    }
    Ok(())
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

/// The digest of the filter's code, as the control plane serves it.
fn code(filter: &str) -> Result<Digest> {
    let file = environment::wasm_dir()?.join(format!("{filter}.wasm"));
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Digest::of(&bytes))
}
