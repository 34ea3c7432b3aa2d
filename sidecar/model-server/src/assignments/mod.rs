//! What this node is told: which tenants it serves with which models, and whose passports count.
//!
//! A [`Table`] is immutable; each accepted update makes the next one, so a request sees one table
//! from its start to its end. `resources.rs` keeps the encoded form with versions, `saved.rs` puts
//! it on the disk, `follow.rs` takes updates from the control plane.

mod follow;
mod resources;
mod saved;
mod table;

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;
use tenancy::DataPlaneId;
use tokio::sync::watch;

pub(crate) use follow::follow;
use resources::Resources;
use saved::SavedFile;
pub(crate) use table::{Assigned, Node, Table, TenantModels};

/// The table in force, and the way to the next one.
pub(crate) struct Assignments {
    table: ArcSwap<Table>,
    changed: watch::Sender<()>,
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

    fn put_in_force(&self, table: Table) {
        self.table.store(Arc::new(table));
        self.changed.send_replace(());
    }
}
