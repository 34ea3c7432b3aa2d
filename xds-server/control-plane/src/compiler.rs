//! What each kind of proxy is sent for a resolved set: tables into filters, assignments, and the
//! rest of what Envoy is told.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use identity::{IssuerKey, KeyMap};
use passport::{VerifyingKey, seal::Sealed};
use policy_model::{
    assignment::{NODE_ASSIGNMENT_TYPE, NodeAssignment, TENANT_ASSIGNMENT_TYPE, TenantAssignment},
    resolved::{Issuer, Resolved},
    table::{
        GateRows, GateTable, IssuerRow, KeyRow, NodeRows, PassportKeyRow, SealedKeyRow, TableError,
    },
};
use prost::Message as _;
use tenancy::{DataPlaneId, Digest};
use xds::Snapshot;

use crate::{
    envoy::{self, Filter, Shown, cluster_name},
    moves::Moves,
    observe::{LogTo, Observe},
    signing::PassportKeys,
    topology::Role,
    wasm::WasmModules,
};

/// Compiles, with what does not change while this process runs.
pub(crate) struct Compiler {
    /// The keys whose passports nodes and sidecars accept.
    accepted: Vec<VerifyingKey>,
    sealed_key: Sealed,
    /// The digests of the filters' code.
    gate: Digest,
    recheck: Digest,
    observe: Observe,
}

/// What the proxies of a group are for, and where they log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) role: Role,
    pub(crate) log: LogTo,
}

impl Place {
    pub(crate) fn is_gateway(&self) -> bool {
        matches!(self.role, Role::Gateway { .. })
    }
}

/// The filters with the tables of one resolved set. They are large, so each is made once.
pub(crate) struct Filters {
    gate: Filter,
    rechecks: BTreeMap<DataPlaneId, Filter>,
}

impl Compiler {
    pub(crate) fn new(
        passports: PassportKeys,
        wasm: &WasmModules,
        observe: Observe,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            sealed_key: passports.seal.seal(&passports.signing)?,
            accepted: passports.accepted,
            gate: wasm.digest("gate")?,
            recheck: wasm.digest("recheck")?,
            observe,
        })
    }

    pub(crate) fn filters(&self, gate_table: Vec<u8>) -> Filters {
        Filters { gate: envoy::gate(self.gate, gate_table), rechecks: BTreeMap::new() }
    }

    /// What the proxies of a place are sent.
    pub(crate) fn snapshot(
        &self,
        Place { role, log }: &Place,
        resolved: &Arc<Resolved>,
        moves: &Moves,
        Filters { gate, rechecks }: &mut Filters,
    ) -> Result<Snapshot, TableError> {
        let log = self.observe.access_log.then_some(log);
        Ok(match role {
            Role::Gateway { listen } => {
                let shown = Shown { log, revision: self.observe.response_headers };
                envoy::gateway(*listen, resolved, gate, shown)
            }
            Role::Node { data_plane, listen, sidecar } => {
                let recheck = match rechecks.entry(data_plane.clone()) {
                    Entry::Occupied(made) => made.into_mut(),
                    Entry::Vacant(none) => {
                        let resolved = moves.for_plane(data_plane, resolved);
                        let table = self.node_table(&resolved, data_plane)?;
                        none.insert(envoy::recheck(self.recheck, table))
                    }
                };
                envoy::node(*listen, sidecar, recheck, log)
            }
            Role::Sidecar { data_plane } => {
                self.assignments(data_plane, &moves.for_plane(data_plane, resolved))?
            }
        })
    }

    pub(crate) fn gate_table(
        &self,
        resolved: &Resolved,
        keys: &KeyMap,
    ) -> Result<Vec<u8>, TableError> {
        let rows = GateRows {
            passport_key: SealedKeyRow {
                key_id: self.sealed_key.key_id.clone(),
                nonce: self.sealed_key.nonce.clone(),
                ciphertext: self.sealed_key.ciphertext.clone(),
            },
            issuers: resolved
                .issuers
                .values()
                .map(|issuer| {
                    issuer_row(issuer, keys.get(&issuer.issuer).map_or(&[], Vec::as_slice))
                })
                .collect(),
            observe: self.observe.row(),
            ..GateRows::of(resolved, cluster_name)
        };
        rows.encode()
    }

    fn node_table(
        &self,
        resolved: &Resolved,
        data_plane: &DataPlaneId,
    ) -> Result<Vec<u8>, TableError> {
        let key = |key: &VerifyingKey| PassportKeyRow {
            id: key.id.clone(),
            public_key: key.bytes.clone(),
        };
        let passport_keys = self.accepted.iter().map(key).collect();
        let rows = NodeRows::of(resolved, data_plane);
        NodeRows { passport_keys, observe: self.observe.row(), ..rows }.encode()
    }

    /// What a data plane's sidecars are told. One that no resource names is told nothing, and so
    /// serves nobody.
    fn assignments(
        &self,
        data_plane: &DataPlaneId,
        resolved: &Resolved,
    ) -> Result<Snapshot, TableError> {
        let mut snapshot = Snapshot::builder();
        if let Some(plane) = resolved.data_planes.get(data_plane) {
            let keys = self.accepted.iter().map(|key| (key.id.clone(), key.bytes.clone()));
            let node = NodeAssignment::of(plane, keys).encode_to_vec();
            snapshot = snapshot.resource(NODE_ASSIGNMENT_TYPE, data_plane.as_str(), node);
        }
        for tenant in resolved.tenants.values().filter(|tenant| tenant.data_plane == *data_plane) {
            let assignment = TenantAssignment::of(resolved, tenant)?.encode_to_vec();
            snapshot = snapshot.resource(TENANT_ASSIGNMENT_TYPE, tenant.id.as_str(), assignment);
        }
        Ok(snapshot.build())
    }
}

/// The revision that a gate's table has.
pub(crate) fn revision_of(table: &[u8]) -> Result<String, TableError> {
    Ok(GateTable::decode(table)?.revision().to_owned())
}

fn issuer_row(issuer: &Issuer, keys: &[IssuerKey]) -> IssuerRow {
    let keys = keys.iter().filter(|key| issuer.algorithms.contains(&key.algorithm));
    IssuerRow {
        issuer: issuer.issuer.clone(),
        audiences: issuer.audiences.clone(),
        algorithms: issuer.algorithms.iter().map(ToString::to_string).collect(),
        orgs: issuer.orgs.iter().map(ToString::to_string).collect(),
        org_claim: issuer.org_claim.clone(),
        keys: keys
            .map(|key| KeyRow {
                id: key.id.clone(),
                algorithm: key.algorithm.to_string(),
                spki: key.spki_der.clone(),
            })
            .collect(),
    }
}
