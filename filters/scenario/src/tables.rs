//! From the resolved set to the filters' tables.

use std::collections::BTreeMap;

use passport::VerifyingKey;
use policy_model::{
    resolved::{Issuer, Resolved},
    table::{GateRows, IssuerRow, KeyRow, NodeRows, PassportKeyRow, SealedKeyRow},
};
use tenancy::DataPlaneId;

use crate::Error;

/// What the control plane puts before a data plane's name to name its cluster at the ingress.
pub(crate) const CLUSTER_PREFIX: &str = "data-plane/";

/// The gate's rows. `keys` are the issuers' by the names of their resources.
pub(crate) fn gate(
    resolved: &Resolved,
    passport_key: SealedKeyRow,
    keys: &BTreeMap<&str, Vec<KeyRow>>,
) -> GateRows {
    let issuers = resolved.issuers.values().map(|issuer| {
        issuer_row(issuer, keys.get(issuer.name.as_str()).cloned().unwrap_or_default())
    });
    GateRows {
        passport_key,
        issuers: issuers.collect(),
        ..GateRows::of(resolved, |plane| format!("{CLUSTER_PREFIX}{plane}"))
    }
}

/// The rows of a data plane's nodes.
pub(crate) fn node(
    resolved: &Resolved,
    data_plane: &str,
    key: VerifyingKey,
) -> Result<NodeRows, Error> {
    let data_plane: DataPlaneId = data_plane.parse().map_err(Error::request)?;
    Ok(NodeRows {
        passport_keys: vec![PassportKeyRow { id: key.id, public_key: key.bytes }],
        ..NodeRows::of(resolved, &data_plane)
    })
}

fn issuer_row(issuer: &Issuer, keys: Vec<KeyRow>) -> IssuerRow {
    IssuerRow {
        issuer: issuer.issuer.clone(),
        audiences: issuer.audiences.clone(),
        algorithms: issuer.algorithms.iter().map(ToString::to_string).collect(),
        orgs: issuer.orgs.iter().map(ToString::to_string).collect(),
        org_claim: issuer.org_claim.clone(),
        keys,
    }
}

/// The counter of what a check in shadow would have denied.
pub(crate) fn shadow_counter(check: &str, tenant: &str) -> String {
    format!("bulkhead.shadow.{check}.{tenant}")
}
