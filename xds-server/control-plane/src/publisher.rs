//! What is pushed, and when: on a change, everything is compiled anew for every group of proxies
//! and put in force at once. Equal content is no push, so compiling anew is cheap to ask for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use identity::{KeyMap, KeySets};
use jiff::Timestamp;
use policy_model::{resolved::Resolved, table::TableError};
use registry::Registry;
use tokio::sync::{Notify, OwnedMutexGuard};
use tonic::Status;
use xds::{Node, Proxies, ProxyStatus, SnapshotStore, Target};

use crate::{
    compiler::{Compiler, Place, revision_of},
    moves::Moves,
    observe::LogTo,
    revisions::{InForce, Revisions},
    topology::Role,
};

/// Compiles and pushes.
pub struct Publisher {
    store: SnapshotStore,
    proxies: Proxies,
    registry: Registry,
    keys: Arc<KeySets>,
    compiler: Compiler,
    groups: Mutex<Groups>,
    canary: Arc<tokio::sync::Mutex<()>>,
    /// Rung when there are moves to carry out.
    pub(crate) moved: Notify,
}

/// Which groups there are, and what they were last sent.
#[derive(Default)]
pub(crate) struct Groups {
    pub(crate) places: BTreeMap<String, Place>,
    /// The revision of the gate's table.
    revision: String,
    revisions: Revisions,
    /// Tenants on their way.
    pub(crate) moves: Moves,
    /// What was published last: the same again needs no compiling.
    pub(crate) published: Option<(Arc<Resolved>, Arc<KeyMap>)>,
}

impl Publisher {
    /// Nothing is pushed until a proxy asks.
    pub(crate) fn new(
        store: SnapshotStore,
        proxies: Proxies,
        registry: Registry,
        keys: Arc<KeySets>,
        compiler: Compiler,
    ) -> Self {
        Self {
            store,
            proxies,
            registry,
            keys,
            compiler,
            groups: Mutex::default(),
            canary: Arc::default(),
            moved: Notify::new(),
        }
    }

    /// The group of a proxy that connects; its snapshot is there when this returns.
    ///
    /// # Errors
    /// Where the proxy does not say what it is for, or nothing can be compiled for it.
    pub fn admit(&self, node: &Node) -> Result<String, Status> {
        let place = Place { role: Role::of(node)?, log: LogTo::of(node)? };
        let group = format!("{}{}", place.role, place.log);
        let mut groups = self.lock();
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
        let mut groups = self.lock();
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
        self.lock().revision.clone()
    }

    /// The groups that there are.
    pub fn groups(&self) -> Vec<String> {
        let groups = self.lock();
        groups.places.keys().cloned().collect()
    }

    /// The revision that a proxy runs; nothing where it has accepted none that is known.
    pub fn in_force(&self, proxy: &ProxyStatus) -> Option<InForce> {
        let groups = self.lock();
        let in_force = groups.revisions.in_force(proxy, Timestamp::now())?;
        let newest = in_force.newest && in_force.revision == groups.revision;
        Some(InForce { newest, ..in_force })
    }

    /// Whether a group is yet to be sent what was published: gateways are, while a data plane
    /// learns of a tenant that moves to it.
    pub fn is_held_back(&self, group: &str) -> bool {
        let groups = self.lock();
        let Some((resolved, _)) = &groups.published else { return false };
        groups.places.get(group).is_some_and(Place::is_gateway)
            && !groups.moves.preparing(resolved).is_empty()
    }

    /// Whether a proxy is a canary: served something else than its group.
    pub fn is_canary(&self, proxy: &ProxyStatus) -> bool {
        self.store.is_overridden(&proxy.group, &proxy.node)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut groups = self.lock();
        let Groups { places, revisions, moves, published, .. } = &mut *groups;
        let connected: Vec<(ProxyStatus, Role)> = self
            .proxies
            .list()
            .into_iter()
            .filter(ProxyStatus::is_connected)
            .filter_map(|proxy| Some((places.get(&proxy.group)?.role.clone(), proxy)))
            .map(|(role, proxy)| (proxy, role))
            .collect();
        let keys = self.keys.keys();
        let revision = revision_of(&self.compiler.gate_table(candidate, &keys)?)?;
        // As a publish begins: a canary does not send tenants to where nobody knows them yet.
        let candidate = Arc::new(candidate.clone());
        let mut moves = moves.clone();
        if let Some((before, _)) = published {
            moves.note(before, &candidate);
        }
        let table = self.compiler.gate_table(&moves.for_gateways(&candidate), &keys)?;
        let mut filters = self.compiler.filters(table);
        let targets = choose(&connected)
            .into_iter()
            .filter_map(|proxy| Some((places.get(&proxy.group)?, proxy)))
            .map(|(place, proxy)| {
                let snapshot = self.compiler.snapshot(place, &candidate, &moves, &mut filters)?;
                Ok(Target { group: proxy.group, node: proxy.node, snapshot })
            })
            .collect::<Result<Vec<_>, TableError>>()?;
        for Target { group, snapshot, .. } in &targets {
            revisions.note_candidate(group, &revision, snapshot);
        }
        Ok((revision, targets))
    }

    pub(crate) fn publish_locked(&self, groups: &mut Groups) -> Result<String, TableError> {
        let resolved = Arc::clone(&self.registry.state().resolved);
        // Under the lock, so that of two changes at once the later has the last word.
        self.keys.set_issuers(resolved.issuers.keys().cloned());
        let keys = self.keys.keys();
        let Groups { places, moves, published, .. } = groups;
        if let Some((before, _)) = published {
            moves.note(before, &resolved);
        }
        let table = self.compiler.gate_table(&moves.for_gateways(&resolved), &keys)?;
        let sent = revision_of(&table)?;
        let revision = match moves.preparing(&resolved).is_empty() {
            true => sent.clone(),
            // What gateways are told once the moves are prepared.
            false => revision_of(&self.compiler.gate_table(&resolved, &keys)?)?,
        };
        let mut filters = self.compiler.filters(table);
        // All are compiled before any is put in force.
        let compiled = places
            .iter()
            .map(|(group, place)| {
                let snapshot = self.compiler.snapshot(place, &resolved, moves, &mut filters)?;
                let revision = if place.is_gateway() { &sent } else { &revision };
                Ok((group, revision, snapshot))
            })
            .collect::<Result<Vec<_>, TableError>>()?;
        let mut pushed = 0;
        for (group, revision, snapshot) in compiled {
            groups.revisions.note(group, revision, &snapshot);
            pushed += usize::from(self.store.set(group, snapshot));
        }
        if pushed > 0 {
            tracing::info!(revision, groups = pushed, tenants = resolved.tenants.len(), "pushed");
        }
        revision.clone_into(&mut groups.revision);
        groups.published = Some((resolved, keys));
        if !groups.moves.is_empty() {
            self.moved.notify_one();
        }
        Ok(revision)
    }
}
