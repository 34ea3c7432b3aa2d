//! One request, explained: who the gate takes its sender for, and what each check says.

use std::rc::Rc;

use filter_core::{
    CheckOutcome, Explanation, Gate, Recheck, Verdict,
    memory_host::{Clock, MemoryHost, SharedData},
};
use policy_model::spec::Algorithm;
use serde_json::{Map, Value};

use crate::{Deployment, Error, Prepared, token};

/// What becomes of a request at the ingress, and at the node that it reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// What the gate says.
    pub gate: Explanation,
    /// What the node says; nothing where the request does not reach one.
    pub node: Option<Node>,
}

/// What becomes of a request at a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The node's data plane.
    pub data_plane: String,
    /// Its region.
    pub region: String,
    /// What each check says there, in their order.
    pub checks: Vec<CheckOutcome>,
}

impl Explained {
    /// The check that denies the request, at the gate or at the node.
    pub fn denied_by(&self) -> Option<&CheckOutcome> {
        let node = self.node.iter().flat_map(|node| &node.checks);
        self.gate.checks.iter().chain(node).find(|outcome| outcome.denies())
    }
}

/// Explains `request`, sent to the gate of `deployment` at `now` (Unix seconds). Rates are not
/// part of it: they depend on what came before. Neither is the revision: a deployment here has
/// keys of its own, so its tables are not those of a proxy.
///
/// # Errors
/// Where the deployment gives no usable table.
pub fn explain(deployment: &Deployment, request: &Prepared, now: u64) -> Result<Explained, Error> {
    let (clock, shared) = (Clock::default(), SharedData::default());
    clock.set_unix_secs(now);
    let host = MemoryHost::new(&clock, &shared);
    let table = deployment.gate_table()?;
    let gate = Gate::configure(&Rc::default(), &host, &table, Some(deployment.seal_key()))?;
    host.begin(request.headers.clone());
    let gate = gate.explain(&host);
    let node = match (&gate.verdict, &gate.tenant, &gate.data_plane) {
        (Verdict::Forward, Some(tenant), Some(data_plane)) => {
            let recheck = Recheck::configure(&deployment.node_table(data_plane)?)?;
            let planes = &deployment.resolved().data_planes;
            let plane = planes.values().find(|plane| plane.id.as_str() == data_plane);
            Some(Node {
                data_plane: data_plane.clone(),
                region: plane.map(|plane| plane.region.clone()).unwrap_or_default(),
                checks: recheck.explain_as(&host, tenant).unwrap_or_default(),
            })
        }
        _ => None,
    };
    Ok(Explained { gate, node })
}

/// A token with exactly these claims, signed with a key of this deployment as the issuer that they
/// name would; where they name none of its issuers, by nobody that it knows. `algorithm` is the
/// issuer's first where it is not given.
///
/// # Errors
/// Where it cannot be signed.
pub fn token_of_claims(
    deployment: &Deployment,
    claims: &Map<String, Value>,
    algorithm: Option<Algorithm>,
) -> Result<String, Error> {
    token::of_claims(deployment, claims, algorithm)
}
