//! What this node is told: which tenants it serves with which models, and whose passports count.
//!
//! A [`Table`] is immutable; each accepted update makes the next one, so a request sees one table
//! from its start to its end. `resources.rs` keeps the encoded form with versions, `saved.rs` puts
//! it on the disk, `follow.rs` takes updates from the control plane.

mod assigned;
mod follow;
mod given;
mod kept;
mod resources;
mod saved;
mod stand_in;
mod table;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use tenancy::{DataPlaneId, Digest};
use tokio::{sync::watch, time::Instant};

pub(crate) use assigned::{Assigned, Base};
pub(crate) use follow::follow;
pub(crate) use given::Serving;
use kept::Kept;
use resources::Resources;
use saved::SavedFile;
use stand_in::StandIn;
pub(crate) use table::{AssignmentError, Node, Table, TenantModels};

/// The table in force, and the way to the next one.
pub(crate) struct Assignments {
    table: ArcSwap<Table>,
    changed: watch::Sender<()>,
    kept: Mutex<Kept>,
    file: SavedFile,
    data_plane: DataPlaneId,
}

impl Assignments {
    /// Loads what the last run saved. What cannot be used is logged and left out: the control
    /// plane will send it again, and until then the node serves nobody.
    pub(crate) fn load(state_dir: &Path, data_plane: DataPlaneId) -> (Arc<Self>, Resources) {
        let file = SavedFile::in_folder(state_dir);
        let (table, resources) = match file.load(&data_plane) {
            Ok(Some(resources)) => match Table::build(&resources, &data_plane) {
                Ok(table) => (table, resources),
                Err(error) => {
                    tracing::error!(%error, "the saved assignments cannot be used");
                    Default::default()
                }
            },
            Ok(None) => Default::default(),
            Err(error) => {
                tracing::error!(%error, "the saved assignments cannot be used");
                Default::default()
            }
        };
        let assignments = Self {
            table: ArcSwap::from_pointee(table),
            changed: watch::Sender::new(()),
            kept: Mutex::default(),
            file,
            data_plane,
        };
        (Arc::new(assignments), resources)
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Wakes whenever another table is in force.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The artifacts that are assigned, and those that were until not long ago.
    pub(crate) fn wanted(&self) -> BTreeSet<Digest> {
        let mut wanted = self.table().digests();
        wanted.extend(self.kept().at(Instant::now()));
        wanted
    }

    /// When the next artifact that is no longer assigned is no longer wanted.
    pub(crate) fn kept_until(&self) -> Option<Instant> {
        self.kept().next_end(Instant::now())
    }

    /// Lets a version answer that something stood in for, which from now on is not needed.
    pub(crate) fn end(&self, stand_in: &StandIn) {
        stand_in.end();
        self.changed.send_replace(());
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing under it panics half-way through a change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_in_force(&self, table: Table) {
        if let Some(node) = table.node() {
            let until = Instant::now() + node.serving.keep_old_version;
            let before = self.table();
            self.kept().keep(table.replaced(&before).flat_map(|old| old.digests()), until);
        }
        self.table.store(Arc::new(table));
        self.changed.send_replace(());
    }
}
