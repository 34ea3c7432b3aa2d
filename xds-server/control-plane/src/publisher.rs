//! What is pushed, and when: on a change, everything is compiled anew for every group of proxies
//! and put in force at once. Equal content is no push, so compiling anew is cheap to ask for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use identity::{IssuerKey, KeyMap, KeySets};
use passport::{SigningKey, VerifyingKey, seal::SealKey, seal::Sealed};
use policy_model::{
    assignment::{NODE_ASSIGNMENT_TYPE, NodeAssignment, TENANT_ASSIGNMENT_TYPE, TenantAssignment},
    resolved::{Issuer, Resolved, Tenant},
    table::{
        GateRows, GateTable, IssuerRow, KeyRow, NodeRows, PassportKeyRow, SealedKeyRow, TableError,
        TenantRow,
    },
};
use prost::Message as _;
use registry::Registry;
use tenancy::DataPlaneId;
use tonic::Status;
use xds::{Node, Snapshot, SnapshotStore};

use crate::{
    envoy::{self, Code, cluster_name},
    topology::Role,
    wasm::WasmModules,
};

/// Compiles and pushes.
pub struct Publisher {
    store: SnapshotStore,
    registry: Registry,
    keys: Arc<KeySets>,
    verifying_key: VerifyingKey,
    sealed_key: Sealed,
    gate: Code,
    recheck: Code,
    groups: Mutex<Groups>,
}

/// Which groups there are, and what they were last sent.
#[derive(Default)]
struct Groups {
    roles: BTreeMap<String, Role>,
    /// The revision of the gate's table.
    revision: String,
}

impl Publisher {
    /// Nothing is pushed until a proxy asks.
    pub(crate) fn new(
        store: SnapshotStore,
        registry: Registry,
        keys: Arc<KeySets>,
        signing_key: SigningKey,
        seal_key: SealKey,
        wasm: Arc<WasmModules>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            store,
            registry,
            keys,
            verifying_key: signing_key.verifying_key(),
            sealed_key: seal_key.seal(&signing_key)?,
            gate: Code { digest: wasm.digest("gate")? },
            recheck: Code { digest: wasm.digest("recheck")? },
            groups: Mutex::default(),
        })
    }

    /// The group of a proxy that connects; its snapshot is there when this returns.
    ///
    /// # Errors
    /// Where the proxy does not say what it is for, or nothing can be compiled for it.
    pub fn admit(&self, node: &Node) -> Result<String, Status> {
        let role = Role::of(node)?;
        let group = role.to_string();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let known = groups.roles.insert(group.clone(), role.clone()) == Some(role);
        if !known || self.store.get(&group).is_none() {
            self.publish_locked(&mut groups)
                .map_err(|error| Status::internal(format!("nothing could be compiled: {error}")))?;
        }
        Ok(group)
    }

    /// Compiles what holds now and puts it in force; returns the revision of the gate's table.
    ///
    /// # Errors
    /// [`TableError`]; what was in force stays.
    pub fn publish(&self) -> Result<String, TableError> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish_locked(&mut groups)
    }

    /// The revision of the gate's table that is in force; empty before the first proxy came.
    pub fn revision(&self) -> String {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).revision.clone()
    }

    /// The groups that there are.
    pub fn groups(&self) -> Vec<String> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.roles.keys().cloned().collect()
    }

    fn publish_locked(&self, groups: &mut Groups) -> Result<String, TableError> {
        let resolved = Arc::clone(&self.registry.state().resolved);
        // Under the lock, so that of two changes at once the later has the last word.
        self.keys.set_issuers(resolved.issuers.keys().cloned());
        let table = self.gate_table(&resolved, &self.keys.keys())?;
        let revision = GateTable::decode(&table)?.revision().to_owned();
        // All are compiled before any is put in force.
        let compiled = groups
            .roles
            .iter()
            .map(|(group, role)| Ok((group, self.compile(role, &resolved, &table)?)))
            .collect::<Result<Vec<_>, TableError>>()?;
        let mut pushed = 0;
        for (group, snapshot) in compiled {
            pushed += usize::from(self.store.set(group, snapshot));
        }
        if pushed > 0 {
            tracing::info!(revision, groups = pushed, tenants = resolved.tenants.len(), "pushed");
        }
        revision.clone_into(&mut groups.revision);
        Ok(revision)
    }

    fn compile(
        &self,
        role: &Role,
        resolved: &Resolved,
        gate_table: &[u8],
    ) -> Result<Snapshot, TableError> {
        Ok(match role {
            Role::Gateway { listen } => {
                envoy::gateway(*listen, resolved, self.gate, gate_table.to_vec())
            }
            Role::Node { data_plane, listen, sidecar } => {
                let table = self.node_table(data_plane)?;
                envoy::node(*listen, sidecar, self.recheck, table)
            }
            Role::Sidecar { data_plane } => self.assignments(data_plane, resolved),
        })
    }

    fn gate_table(&self, resolved: &Resolved, keys: &KeyMap) -> Result<Vec<u8>, TableError> {
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
            tenants: resolved.tenants.values().map(tenant_row).collect(),
        };
        rows.encode()
    }

    fn node_table(&self, data_plane: &DataPlaneId) -> Result<Vec<u8>, TableError> {
        let key = PassportKeyRow {
            id: self.verifying_key.id.clone(),
            public_key: self.verifying_key.bytes.clone(),
        };
        NodeRows { data_plane: data_plane.to_string(), passport_keys: vec![key] }.encode()
    }

    /// What a data plane's sidecars are told. One that no resource names is told nothing, and so
    /// serves nobody.
    fn assignments(&self, data_plane: &DataPlaneId, resolved: &Resolved) -> Snapshot {
        let mut snapshot = Snapshot::builder();
        if let Some(plane) = resolved.data_planes.get(data_plane) {
            let key = (self.verifying_key.id.clone(), self.verifying_key.bytes.clone());
            let node = NodeAssignment::of(plane, [key]).encode_to_vec();
            snapshot = snapshot.resource(NODE_ASSIGNMENT_TYPE, data_plane.as_str(), node);
        }
        for tenant in resolved.tenants.values().filter(|tenant| tenant.data_plane == *data_plane) {
            let assignment = TenantAssignment::of(tenant).encode_to_vec();
            snapshot = snapshot.resource(TENANT_ASSIGNMENT_TYPE, tenant.id.as_str(), assignment);
        }
        snapshot.build()
    }
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

fn tenant_row(tenant: &Tenant) -> TenantRow {
    TenantRow {
        id: tenant.id.to_string(),
        tier: TenantRow::tier_index(tenant.tier),
        data_plane: tenant.data_plane.to_string(),
        cluster: cluster_name(&tenant.data_plane),
        interval_ns: tenant.rate_limit.interval_ns,
        burst: tenant.rate_limit.burst,
        suspended: tenant.suspended,
    }
}
