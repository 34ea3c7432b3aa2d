//! Which group of proxies is served which snapshot, and which proxy is served one of its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::Snapshot;

/// Snapshots of single proxies, by group and node id.
pub(crate) type Overrides = Arc<BTreeMap<(String, String), Snapshot>>;

/// The newest snapshot of each group, and of each proxy that is served one of its own. Clones
/// share the same store.
///
/// A group without a snapshot is left waiting and not sent an empty one: after a restart of the
/// control plane, an empty answer would take away from a proxy what it is serving with.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    groups: Arc<Mutex<HashMap<String, watch::Sender<Option<Snapshot>>>>>,
    overrides: Arc<watch::Sender<Overrides>>,
    closed: Arc<watch::Sender<bool>>,
}

impl Default for SnapshotStore {
    fn default() -> Self {
        Self {
            groups: Arc::default(),
            overrides: Arc::new(watch::Sender::new(Arc::default())),
            closed: Arc::new(watch::Sender::new(false)),
        }
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

    /// Serves this snapshot to one proxy of a group, in place of the group's, on the stream that it
    /// has and on those that it opens later. Returns false where it is served equal content under
    /// an override already.
    pub fn set_override(&self, group: &str, node: &str, snapshot: Snapshot) -> bool {
        let key = (group.to_owned(), node.to_owned());
        self.overrides.send_if_modified(|overrides| {
            let changed = overrides.get(&key) != Some(&snapshot);
            if changed {
                Arc::make_mut(overrides).insert(key, snapshot);
            }
            changed
        })
    }

    /// Serves a proxy its group's snapshot again. Returns false where it was not overridden.
    pub fn clear_override(&self, group: &str, node: &str) -> bool {
        let key = (group.to_owned(), node.to_owned());
        self.overrides.send_if_modified(|overrides| {
            overrides.contains_key(&key) && Arc::make_mut(overrides).remove(&key).is_some()
        })
    }

    /// Whether a proxy is served a snapshot of its own.
    pub fn is_overridden(&self, group: &str, node: &str) -> bool {
        self.overrides.borrow().contains_key(&(group.to_owned(), node.to_owned()))
    }

    /// What a proxy is served: its own snapshot, or else its group's.
    pub fn served(&self, group: &str, node: &str) -> Option<Snapshot> {
        let own = self.overrides.borrow().get(&(group.to_owned(), node.to_owned())).cloned();
        own.or_else(|| self.get(group))
    }

    /// Ends every stream, now and later, so that a server that waits for its connections can stop.
    /// Proxies reconnect by themselves.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(crate) fn subscribe(&self, group: &str, node: &str) -> Served {
        Served {
            key: (group.to_owned(), node.to_owned()),
            of_group: self.sender(group).subscribe(),
            overrides: self.overrides.subscribe(),
        }
    }

    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    fn sender(&self, group: &str) -> watch::Sender<Option<Snapshot>> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(group.to_owned()).or_insert_with(|| watch::Sender::new(None)).clone()
    }
}

/// What one proxy is served, as it changes.
#[derive(Debug)]
pub(crate) struct Served {
    key: (String, String),
    of_group: watch::Receiver<Option<Snapshot>>,
    overrides: watch::Receiver<Overrides>,
}

impl Served {
    /// What it is served now; [`Served::changed`] waits for what comes after this.
    pub(crate) fn newest(&mut self) -> Option<Snapshot> {
        // Both are marked as seen, whichever counts.
        let of_group = self.of_group.borrow_and_update();
        let overrides = self.overrides.borrow_and_update();
        overrides.get(&self.key).or(of_group.as_ref()).cloned()
    }

    /// Waits until something may have changed. An error says that the store is gone.
    pub(crate) async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        tokio::select! {
            changed = self.of_group.changed() => changed,
            changed = self.overrides.changed() => changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushing_equal_content_is_no_push() {
        let store = SnapshotStore::new();
        let mut served = store.subscribe("pool", "envoy-1");
        assert!(store.set("pool", content("1")));
        assert_eq!(served.newest(), Some(content("1")));
        assert!(!store.set("pool", content("1")));
        assert!(!served.of_group.has_changed().unwrap_or(true));
        assert!(store.set("pool", content("2")));
        assert!(served.of_group.has_changed().unwrap_or(false));
    }

    #[test]
    fn an_override_is_one_proxys_and_lasts_until_it_is_cleared() {
        let store = SnapshotStore::new();
        let mut first = store.subscribe("pool", "envoy-1");
        store.set("pool", content("1"));
        assert!(store.set_override("pool", "envoy-1", content("2")));
        assert!(!store.set_override("pool", "envoy-1", content("2")));
        // A push to everybody else does not reach it.
        store.set("pool", content("3"));
        assert_eq!(first.newest(), Some(content("2")));
        assert_eq!(store.subscribe("pool", "envoy-2").newest(), Some(content("3")));
        assert_eq!(store.subscribe("silo", "envoy-1").newest(), None);
        assert!(store.clear_override("pool", "envoy-1"));
        assert!(!store.clear_override("pool", "envoy-1"));
        assert_eq!(first.newest(), Some(content("3")));
    }

    fn content(value: &'static str) -> Snapshot {
        Snapshot::builder().resource("t", "a", value).build()
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let store = SnapshotStore::new();
        store.set("pool", Snapshot::builder().resource("t", "a", "1").build());
        assert!(store.get("silo").is_none());
    }
}
