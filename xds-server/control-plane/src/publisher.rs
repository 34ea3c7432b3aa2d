//! What is pushed, and when: on a change, everything is compiled anew for every group of proxies
//! and put in force at once. Equal content is no push, so compiling anew is cheap to ask for.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use identity::{IssuerKey, KeyMap, KeySets};
use jiff::Timestamp;
use passport::{SigningKey, VerifyingKey, seal::SealKey, seal::Sealed};
use policy_model::{
    assignment::{NODE_ASSIGNMENT_TYPE, NodeAssignment, TENANT_ASSIGNMENT_TYPE, TenantAssignment},
    resolved::{Issuer, Resolved},
    table::{
        GateRows, GateTable, IssuerRow, KeyRow, NodeRows, PassportKeyRow, SealedKeyRow, TableError,
    },
};
use prost::Message as _;
use registry::Registry;
use tenancy::DataPlaneId;
use tokio::sync::OwnedMutexGuard;
use tonic::Status;
use xds::{Node, Proxies, ProxyStatus, Snapshot, SnapshotStore, Target};

use crate::{
    envoy::{self, Code, Filter, cluster_name},
    observe::{LogTo, Observe},
    revisions::{InForce, Revisions},
    topology::Role,
    wasm::WasmModules,
};

/// Compiles and pushes.
pub struct Publisher {
    store: SnapshotStore,
    proxies: Proxies,
    registry: Registry,
    keys: Arc<KeySets>,
    verifying_key: VerifyingKey,
    sealed_key: Sealed,
    gate: Code,
    recheck: Code,
    observe: Observe,
    groups: Mutex<Groups>,
    canary: Arc<tokio::sync::Mutex<()>>,
}

/// Which groups there are, and what they were last sent.
#[derive(Default)]
struct Groups {
    places: BTreeMap<String, Place>,
    /// The revision of the gate's table.
    revision: String,
    revisions: Revisions,
    /// What was published last: the same again needs no compiling.
    published: Option<(Arc<Resolved>, Arc<KeyMap>)>,
}

/// What the proxies of a group are for, and where they log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    role: Role,
    log: LogTo,
}

/// The filters with the tables of one resolved set. They are large, so each is made once.
struct Filters {
    gate: Filter,
    rechecks: BTreeMap<DataPlaneId, Filter>,
}

impl Publisher {
    /// Nothing is pushed until a proxy asks.
    pub(crate) fn new(
        store: SnapshotStore,
        proxies: Proxies,
        registry: Registry,
        keys: Arc<KeySets>,
        signing_key: SigningKey,
        seal_key: SealKey,
        wasm: &WasmModules,
        observe: Observe,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            store,
            proxies,
            registry,
            keys,
            verifying_key: signing_key.verifying_key(),
            sealed_key: seal_key.seal(&signing_key)?,
            gate: Code::new(wasm.of("gate")?),
            recheck: Code::new(wasm.of("recheck")?),
            observe,
            groups: Mutex::default(),
            canary: Arc::default(),
        })
    }

    /// The group of a proxy that connects; its snapshot is there when this returns.
    ///
    /// # Errors
    /// Where the proxy does not say what it is for, or nothing can be compiled for it.
    pub fn admit(&self, node: &Node) -> Result<String, Status> {
        let place = Place { role: Role::of(node)?, log: LogTo::of(node)? };
        let group = format!("{}{}", place.role, place.log);
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let known = groups.places.insert(group.clone(), place.clone()) == Some(place);
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
        let (resolved, keys) = (&self.registry.state().resolved, &self.keys.keys());
        let same = |(before, keys_before): &(Arc<Resolved>, Arc<KeyMap>)| {
            Arc::ptr_eq(before, resolved) && Arc::ptr_eq(keys_before, keys)
        };
        if groups.published.as_ref().is_some_and(same) {
            return Ok(groups.revision.clone());
        }
        self.publish_locked(&mut groups)
    }

    /// The revision of the gate's table that is in force; empty before the first proxy came.
    pub fn revision(&self) -> String {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).revision.clone()
    }

    /// The groups that there are.
    pub fn groups(&self) -> Vec<String> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.places.keys().cloned().collect()
    }

    /// The revision that a proxy runs; nothing where it has accepted none that is known.
    pub fn in_force(&self, proxy: &ProxyStatus) -> Option<InForce> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.revisions.in_force(proxy, Timestamp::now())
    }

    /// Whether a proxy is a canary: served something else than its group.
    pub fn is_canary(&self, proxy: &ProxyStatus) -> bool {
        self.store.is_overridden(&proxy.group, &proxy.node)
    }

    pub(crate) async fn canary_turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.canary).lock_owned().await
    }

    pub(crate) fn store(&self) -> &SnapshotStore {
        &self.store
    }

    pub(crate) fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// The node ids of all that are connected.
    pub(crate) fn connected(&self) -> Vec<String> {
        let connected = self.proxies.list().into_iter().filter(ProxyStatus::is_connected);
        connected.map(|proxy| proxy.node).collect()
    }

    /// What a candidate would be for the connected proxies that `choose` picks, under its revision.
    pub(crate) fn candidate(
        &self,
        candidate: &Resolved,
        choose: impl FnOnce(&[(ProxyStatus, Role)]) -> Vec<ProxyStatus>,
    ) -> Result<(String, Vec<Target>), TableError> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let Groups { places, revisions, .. } = &mut *groups;
        let connected: Vec<(ProxyStatus, Role)> = self
            .proxies
            .list()
            .into_iter()
            .filter(ProxyStatus::is_connected)
            .filter_map(|proxy| Some((places.get(&proxy.group)?.role.clone(), proxy)))
            .map(|(role, proxy)| (proxy, role))
            .collect();
        let table = self.gate_table(candidate, &self.keys.keys())?;
        let revision = GateTable::decode(&table)?.revision().to_owned();
        let mut filters = self.filters(table);
        let targets = choose(&connected)
            .into_iter()
            .filter_map(|proxy| Some((places.get(&proxy.group)?, proxy)))
            .map(|(place, proxy)| {
                let snapshot = self.compile(place, candidate, &mut filters)?;
                Ok(Target { group: proxy.group, node: proxy.node, snapshot })
            })
            .collect::<Result<Vec<_>, TableError>>()?;
        for Target { group, snapshot, .. } in &targets {
            revisions.note_candidate(group, &revision, snapshot);
        }
        Ok((revision, targets))
    }

    fn publish_locked(&self, groups: &mut Groups) -> Result<String, TableError> {
        let resolved = Arc::clone(&self.registry.state().resolved);
        // Under the lock, so that of two changes at once the later has the last word.
        self.keys.set_issuers(resolved.issuers.keys().cloned());
        let keys = self.keys.keys();
        let table = self.gate_table(&resolved, &keys)?;
        let revision = GateTable::decode(&table)?.revision().to_owned();
        let mut filters = self.filters(table);
        // All are compiled before any is put in force.
        let compiled = groups
            .places
            .iter()
            .map(|(group, place)| Ok((group, self.compile(place, &resolved, &mut filters)?)))
            .collect::<Result<Vec<_>, TableError>>()?;
        let mut pushed = 0;
        for (group, snapshot) in compiled {
            groups.revisions.note(group, &revision, &snapshot);
            pushed += usize::from(self.store.set(group, snapshot));
        }
        if pushed > 0 {
            tracing::info!(revision, groups = pushed, tenants = resolved.tenants.len(), "pushed");
        }
        revision.clone_into(&mut groups.revision);
        groups.published = Some((resolved, keys));
        Ok(revision)
    }

    fn filters(&self, gate_table: Vec<u8>) -> Filters {
        Filters { gate: envoy::gate(&self.gate, gate_table), rechecks: BTreeMap::new() }
    }

    fn compile(
        &self,
        Place { role, log }: &Place,
        resolved: &Resolved,
        Filters { gate, rechecks }: &mut Filters,
    ) -> Result<Snapshot, TableError> {
        let log = self.observe.access_log.then_some(log);
        Ok(match role {
            Role::Gateway { listen } => envoy::gateway(*listen, resolved, gate, log),
            Role::Node { data_plane, listen, sidecar } => {
                let recheck = match rechecks.entry(data_plane.clone()) {
                    Entry::Occupied(made) => made.into_mut(),
                    Entry::Vacant(none) => {
                        let table = self.node_table(resolved, data_plane)?;
                        none.insert(envoy::recheck(&self.recheck, table))
                    }
                };
                envoy::node(*listen, sidecar, recheck, log)
            }
            Role::Sidecar { data_plane } => self.assignments(data_plane, resolved)?,
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
        let key = PassportKeyRow {
            id: self.verifying_key.id.clone(),
            public_key: self.verifying_key.bytes.clone(),
        };
        let rows = NodeRows::of(resolved, data_plane);
        NodeRows { passport_keys: vec![key], observe: self.observe.row(), ..rows }.encode()
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
            let key = (self.verifying_key.id.clone(), self.verifying_key.bytes.clone());
            let node = NodeAssignment::of(plane, [key]).encode_to_vec();
            snapshot = snapshot.resource(NODE_ASSIGNMENT_TYPE, data_plane.as_str(), node);
        }
        for tenant in resolved.tenants.values().filter(|tenant| tenant.data_plane == *data_plane) {
            let assignment = TenantAssignment::of(resolved, tenant)?.encode_to_vec();
            snapshot = snapshot.resource(TENANT_ASSIGNMENT_TYPE, tenant.id.as_str(), assignment);
        }
        Ok(snapshot.build())
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
