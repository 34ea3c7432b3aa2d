//! Plays scenarios over the native core, without any proxy.

use std::{collections::BTreeMap, rc::Rc};

use filter_core::{
    Gate, Recheck, Verdict, Vm,
    memory_host::{Clock, MemoryHost, SharedData},
};
use tenancy::headers;

use crate::{
    Deployment, Error, Header, Observed, Prepared, Runner,
    format::{Target, Way},
    sidecar::Sidecars,
    tables::{CLUSTER_PREFIX, shadow_counter},
};

/// How many workers the ingress has; they take turns.
pub(crate) const WORKERS: usize = 2;

/// An ingress and a node for each data plane.
#[derive(Debug)]
pub struct Native {
    verification: Verification,
    clock: Clock,
    shared: SharedData,
    deployment: Option<Deployment>,
    workers: Vec<Worker>,
    turn: usize,
    nodes: BTreeMap<String, (MemoryHost, Recheck)>,
    sidecars: Sidecars,
}

#[derive(Debug)]
struct Worker {
    host: MemoryHost,
    vm: Rc<Vm>,
    gate: Gate,
}

/// Whether the host has a native `verify_signature`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// As Envoy has it.
    ByHost,
    /// The filters' own arithmetic is needed.
    ByFilter,
}

impl Native {
    /// A runner in which nothing is in force yet.
    pub fn new(verification: Verification) -> Self {
        Self {
            verification,
            clock: Clock::default(),
            shared: SharedData::default(),
            deployment: None,
            workers: Vec::new(),
            turn: 0,
            nodes: BTreeMap::new(),
            sidecars: Sidecars::default(),
        }
    }

    fn host(&self) -> MemoryHost {
        let host = MemoryHost::new(&self.clock, &self.shared);
        match self.verification {
            Verification::ByHost => host,
            Verification::ByFilter => host.without_native_verification(),
        }
    }

    fn node(&mut self, data_plane: &str, headers: Vec<Header>) -> Result<Observed, Error> {
        let (host, recheck) =
            self.nodes.get(data_plane).ok_or_else(|| no_node(data_plane, self.nodes.keys()))?;
        host.begin(headers);
        match recheck.on_request_headers(host) {
            Verdict::Forward => {
                let now = self.clock.unix_secs();
                self.sidecars.arrive(data_plane, host.request(), now)
            }
            Verdict::Denied(_) => answer(host),
        }
    }

    fn configure_nodes(&mut self, deployment: &Deployment) -> Result<(), Error> {
        let mut nodes = BTreeMap::new();
        for data_plane in deployment.data_planes() {
            let recheck = Recheck::configure(&deployment.node_table(data_plane)?)?;
            let host = match self.nodes.remove(data_plane) {
                Some((host, _)) => host,
                None => self.host(),
            };
            nodes.insert(data_plane.to_owned(), (host, recheck));
        }
        self.nodes = nodes;
        self.sidecars.configure(deployment)
    }
}

impl Runner for Native {
    fn way(&self) -> Way {
        Way::Native
    }

    fn begin(&mut self, deployment: &Deployment, at: u64) -> Result<(), Error> {
        *self = Self::new(self.verification);
        self.clock.set_unix_secs(at);
        let table = deployment.gate_table()?;
        for _ in 0..WORKERS {
            let (host, vm) = (self.host(), Rc::default());
            let gate = Gate::configure(&vm, &host, &table, Some(deployment.seal_key()))?;
            self.workers.push(Worker { host, vm, gate });
        }
        self.configure_nodes(deployment)?;
        self.deployment = Some(deployment.clone());
        Ok(())
    }

    fn push(&mut self, deployment: &Deployment) -> Result<(), Error> {
        let table = deployment.gate_table()?;
        for Worker { host, vm, gate } in &mut self.workers {
            *gate = Gate::configure(vm, host, &table, Some(deployment.seal_key()))?;
        }
        self.configure_nodes(deployment)?;
        self.deployment = Some(deployment.clone());
        Ok(())
    }

    fn now(&self) -> u64 {
        self.clock.unix_secs()
    }

    fn go_to(&mut self, at: u64) -> Result<(), Error> {
        self.clock.set_unix_secs(at);
        Ok(())
    }

    fn send(&mut self, request: &Prepared) -> Result<Observed, Error> {
        if let Target::Node(data_plane) = &request.target {
            return self.node(data_plane, request.headers.clone());
        }
        self.turn += 1;
        let worker = self.workers.get(self.turn % WORKERS).ok_or_else(not_begun)?;
        worker.host.begin(request.headers.clone());
        match worker.gate.on_request_headers(&worker.host) {
            Verdict::Forward => {
                let (data_plane, onward) = route(worker.host.request())?;
                self.node(&data_plane, onward)
            }
            Verdict::Denied(_) => answer(&worker.host),
        }
    }

    fn shadow_failures(&mut self) -> Result<BTreeMap<String, u64>, Error> {
        let hosts = self.workers.iter().map(|worker| &worker.host);
        let hosts: Vec<&MemoryHost> = hosts.chain(self.nodes.values().map(|it| &it.0)).collect();
        let mut failures = BTreeMap::new();
        for (check, tenant) in self.deployment.iter().flat_map(Deployment::checked) {
            let counter = shadow_counter(check, tenant);
            let count: u64 = hosts.iter().map(|host| host.counter(&counter)).sum();
            *failures.entry(check.to_owned()).or_default() += count;
        }
        self.sidecars.add_shadow_failures(&mut failures);
        Ok(failures)
    }

    fn reached(&mut self) -> Result<u64, Error> {
        Ok(self.sidecars.reached())
    }
}

/// Where the ingress routes a request, which the gate says and nothing else, and what it sends
/// there, without what the route takes away.
pub(crate) fn route(mut onward: Vec<Header>) -> Result<(String, Vec<Header>), Error> {
    let mut clusters = onward.iter().filter(|(name, _)| name == headers::CLUSTER);
    let cluster = match (clusters.next(), clusters.next()) {
        (Some((_, cluster)), None) => String::from_utf8_lossy(cluster).into_owned(),
        _ => {
            let message = format!("expected the gate to set `{}` once", headers::CLUSTER);
            return Err(Error::Runner(message));
        }
    };
    onward.retain(|(name, _)| !headers::STAY_AT_THE_INGRESS.contains(&name.as_str()));
    match cluster.strip_prefix(CLUSTER_PREFIX) {
        Some(data_plane) => Ok((data_plane.to_owned(), onward)),
        None => Err(Error::Runner(format!("expected a data plane's cluster, found `{cluster}`"))),
    }
}

pub(crate) fn no_node<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    Error::unknown("a node of a DataPlane", name, known.map(String::as_str))
}

pub(crate) fn not_begun() -> Error {
    Error::Runner("expected a deployment in force, found none".to_owned())
}

fn answer(host: &MemoryHost) -> Result<Observed, Error> {
    let reply = host.replied().ok_or_else(|| {
        Error::Runner("expected an answer to a denied request, found none".into())
    })?;
    let headers = reply.headers.into_iter().map(|(name, value)| (name, value.into_bytes()));
    Ok(Observed::Denied {
        status: reply.status,
        headers: headers.collect(),
        body: reply.body.into_bytes(),
    })
}
