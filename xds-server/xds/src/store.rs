//! Which group of proxies is served which snapshot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::Snapshot;

/// The newest snapshot of each group. Clones share the same store.
///
/// A group without a snapshot is left waiting and not sent an empty one: after a restart of the
/// control plane, an empty answer would take away from a proxy what it is serving with.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    groups: Arc<Mutex<HashMap<String, watch::Sender<Option<Snapshot>>>>>,
    closed: Arc<watch::Sender<bool>>,
}

impl Default for SnapshotStore {
    fn default() -> Self {
        Self { groups: Arc::default(), closed: Arc::new(watch::Sender::new(false)) }
    }
}

impl SnapshotStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves this snapshot to the group from now on and wakes its streams. Returns false, and
    /// wakes nobody, where the group has equal content already.
    pub fn set(&self, group: &str, snapshot: Snapshot) -> bool {
        self.sender(group).send_if_modified(|current| {
            let changed = current.as_ref() != Some(&snapshot);
            if changed {
                *current = Some(snapshot);
            }
            changed
        })
    }

    /// The group's newest snapshot.
    pub fn get(&self, group: &str) -> Option<Snapshot> {
        self.sender(group).borrow().clone()
    }

    /// Ends every stream, now and later, so that a server that waits for its connections can stop.
    /// Proxies reconnect by themselves.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(crate) fn subscribe(&self, group: &str) -> watch::Receiver<Option<Snapshot>> {
        self.sender(group).subscribe()
    }

    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    fn sender(&self, group: &str) -> watch::Sender<Option<Snapshot>> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(group.to_owned()).or_insert_with(|| watch::Sender::new(None)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushing_equal_content_is_no_push() {
        let store = SnapshotStore::new();
        let mut receiver = store.subscribe("pool");
        assert!(store.set("pool", Snapshot::builder().resource("t", "a", "1").build()));
        receiver.mark_unchanged();
        assert!(!store.set("pool", Snapshot::builder().resource("t", "a", "1").build()));
        assert!(!receiver.has_changed().unwrap_or(true));
        assert!(store.set("pool", Snapshot::builder().resource("t", "a", "2").build()));
        assert!(receiver.has_changed().unwrap_or(false));
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let store = SnapshotStore::new();
        store.set("pool", Snapshot::builder().resource("t", "a", "1").build());
        assert!(store.get("silo").is_none());
    }
}
