//! Runs scenarios over the native core, without any proxy.

use std::{collections::BTreeMap, rc::Rc};

use anyhow::{Context as _, Result, bail};
use filter_core::{
    Gate, Recheck, Verdict,
    memory_host::{Clock, MemoryHost, SharedData},
};
use tenancy::headers;

use super::{Deployment, Header, Observed, Prepared, Runner, Target, deployment::CLUSTER_PREFIX};

/// Two workers at the ingress, which take turns, and a node for each data plane.
#[derive(Debug)]
pub struct Native {
    clock: Clock,
    workers: Vec<(MemoryHost, Gate)>,
    turn: usize,
    nodes: BTreeMap<String, (MemoryHost, Recheck)>,
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
    /// Starts them.
    ///
    /// # Errors
    /// Where a table is refused.
    pub fn start(deployment: &Deployment, verification: Verification) -> Result<Self> {
        let (clock, shared) = (Clock::default(), SharedData::default());
        let host = || match verification {
            Verification::ByHost => MemoryHost::new(&clock, &shared),
            Verification::ByFilter => {
                MemoryHost::new(&clock, &shared).without_native_verification()
            }
        };
        let table = deployment.gate_table()?;
        let workers = (0..2).map(|_| {
            let host = host();
            let gate =
                Gate::configure(&Rc::default(), &host, &table, Some(&deployment.seal_key()))?;
            Ok((host, gate))
        });
        let nodes = deployment.data_planes().into_iter().map(|data_plane| {
            let recheck = Recheck::configure(&deployment.node_table(&data_plane)?)?;
            Ok((data_plane, (host(), recheck)))
        });
        Ok(Self {
            workers: workers.collect::<Result<_>>()?,
            turn: 0,
            nodes: nodes.collect::<Result<_>>()?,
            clock: clock.clone(),
        })
    }

    fn node(&self, data_plane: &str, headers: Vec<Header>) -> Result<Observed> {
        let (host, recheck) = self
            .nodes
            .get(data_plane)
            .with_context(|| format!("no node of data plane `{data_plane}`"))?;
        host.begin(headers);
        match recheck.on_request_headers(host) {
            Verdict::Forward => Ok(Observed::Forwarded {
                data_plane: data_plane.to_owned(),
                headers: host.request(),
            }),
            Verdict::Denied(_) => answer(host),
        }
    }
}

impl Runner for Native {
    fn now(&self) -> u64 {
        self.clock.unix_secs()
    }

    fn send(&mut self, request: &Prepared) -> Result<Observed> {
        if let Target::Node(data_plane) = &request.target {
            return self.node(data_plane, request.headers.clone());
        }
        self.turn += 1;
        let turn = self.turn % self.workers.len();
        let (host, gate) = self.workers.get(turn).context("no worker")?;
        host.begin(request.headers.clone());
        match gate.on_request_headers(host) {
            Verdict::Forward => {
                let onward = host.request();
                self.node(&routed_to(&onward)?, onward)
            }
            Verdict::Denied(_) => answer(host),
        }
    }
}

/// The data plane that the ingress would route to, which is what the gate says and nothing else.
pub(super) fn routed_to(onward: &[Header]) -> Result<String> {
    let mut clusters = onward.iter().filter(|(name, _)| name == headers::CLUSTER);
    match (clusters.next(), clusters.next()) {
        (Some((_, cluster)), None) => {
            let cluster = String::from_utf8_lossy(cluster);
            let data_plane = cluster.strip_prefix(CLUSTER_PREFIX);
            Ok(data_plane.with_context(|| format!("a strange cluster `{cluster}`"))?.to_owned())
        }
        _ => bail!("expected the header `{}` once", headers::CLUSTER),
    }
}

fn answer(host: &MemoryHost) -> Result<Observed> {
    let reply = host.replied().context("a denied request was not answered")?;
    let headers = reply.headers.into_iter().map(|(name, value)| (name, value.into_bytes()));
    Ok(Observed::Denied {
        status: reply.status,
        headers: headers.collect(),
        body: reply.body.into_bytes(),
    })
}
