//! What Envoys have taken, by what they say of themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use envoy_types::pb::envoy::config::core::v3::Node;
use jiff::Timestamp;
use tenancy::Digest;
use tokio::sync::watch;

use crate::resources::{Resources, code_named};

/// How many Envoys are remembered. A relay stands beside one, which may change its name.
const MAX_ENVOYS: usize = 16;

/// What an Envoy says of itself that decides what it is sent: id, cluster and metadata. One that
/// says anything else is another Envoy, even under the same id, and is never served what this one
/// took: its place and its data plane stand there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Who(Node);

impl Who {
    pub(crate) fn of(node: &Node) -> Self {
        Self(Node {
            id: node.id.clone(),
            cluster: node.cluster.clone(),
            metadata: node.metadata.clone(),
            ..Node::default()
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0
    }
}

/// What one Envoy has taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Taken {
    pub(crate) who: Who,
    /// When it took what it took last.
    pub(crate) at: Timestamp,
    pub(crate) resources: Resources,
}

/// What all have taken. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    envoys: Arc<Mutex<BTreeMap<String, Remembered>>>,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
struct Remembered {
    taken: Taken,
    unsaved: bool,
}

impl Memory {
    /// Goes on from what was saved.
    pub(crate) fn new(saved: Vec<Taken>) -> Self {
        let remembered =
            |taken: Taken| (taken.who.id().to_owned(), Remembered { taken, unsaved: false });
        let envoys = saved.into_iter().map(remembered).collect();
        Self { envoys: Arc::new(Mutex::new(envoys)), changes: Arc::new(watch::Sender::new(0)) }
    }

    /// What this Envoy has taken, if anything is remembered.
    pub(crate) fn of(&self, who: &Who) -> Option<Taken> {
        let envoys = self.lock();
        let found = envoys.get(who.id()).filter(|it| it.taken.who == *who);
        found.map(|it| it.taken.clone())
    }

    /// Changes what this Envoy has taken: `change` says whether it did. An Envoy that calls itself
    /// the same and is another is forgotten by it.
    pub(crate) fn note(&self, who: &Who, change: impl FnOnce(&mut Resources) -> bool) {
        let mut envoys = self.lock();
        let changed = match envoys.get_mut(who.id()).filter(|it| it.taken.who == *who) {
            Some(known) => {
                let changed = change(&mut known.taken.resources);
                if changed {
                    known.taken.at = Timestamp::now();
                    known.unsaved = true;
                }
                changed
            }
            None => {
                let mut resources = Resources::new();
                let changed = change(&mut resources);
                if changed {
                    let taken = Taken { who: who.clone(), at: Timestamp::now(), resources };
                    envoys.insert(who.id().to_owned(), Remembered { taken, unsaved: true });
                }
                changed
            }
        };
        drop(envoys);
        if changed {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// What is to be saved. It is taken for saved from here on; see [`Memory::not_saved`].
    pub(crate) fn unsaved(&self) -> Vec<Taken> {
        let mut envoys = self.lock();
        let unsaved = envoys
            .values_mut()
            .filter_map(|it| std::mem::take(&mut it.unsaved).then(|| it.taken.clone()));
        unsaved.collect()
    }

    /// It could not be saved, so it is to be tried again.
    pub(crate) fn not_saved(&self, who: &Who) {
        if let Some(remembered) = self.lock().get_mut(who.id()) {
            remembered.unsaved = true;
        }
    }

    /// Forgets those who took nothing for longest, where there are too many; returns their ids.
    pub(crate) fn forget_oldest(&self) -> Vec<String> {
        let mut envoys = self.lock();
        let mut ages: Vec<_> =
            envoys.values().map(|it| (it.taken.at, it.taken.who.id().to_owned())).collect();
        ages.sort();
        ages.truncate(envoys.len().saturating_sub(MAX_ENVOYS));
        let forgotten: Vec<String> = ages.into_iter().map(|(_, id)| id).collect();
        for id in &forgotten {
            envoys.remove(id);
        }
        forgotten
    }

    /// The code that anything remembered names.
    pub(crate) fn code(&self) -> BTreeSet<Digest> {
        self.lock().values().flat_map(|it| code_named(&it.taken.resources)).collect()
    }

    /// Changes whenever something is to be saved.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Remembered>> {
        self.envoys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use xds::Resource;

    use super::*;

    fn who(id: &str, cluster: &str) -> Who {
        Who::of(&Node { id: id.to_owned(), cluster: cluster.to_owned(), ..Node::default() })
    }

    fn take(memory: &Memory, who: &Who, value: &'static str) {
        memory.note(who, |resources| {
            let resource = Resource::received("1", value, None);
            resources.entry("t".to_owned()).or_default().insert("a".to_owned(), resource);
            true
        });
    }

    #[test]
    fn what_one_took_is_never_anothers_who_calls_itself_the_same() {
        let memory = Memory::new(Vec::new());
        let (shared, silo) = (who("node", "shared"), who("node", "silo"));
        take(&memory, &shared, "of the shared one");
        assert_eq!(memory.of(&silo), None);
        // It is forgotten once the other has taken something, and not before.
        memory.note(&silo, |_| false);
        assert!(memory.of(&shared).is_some());
        take(&memory, &silo, "of the silo");
        assert_eq!(memory.of(&shared), None);
        assert_eq!(memory.of(&silo).unwrap().resources["t"]["a"].value(), "of the silo");
    }

    #[test]
    fn what_could_not_be_saved_is_to_be_saved_still() {
        let memory = Memory::new(Vec::new());
        let envoy = who("node", "shared");
        take(&memory, &envoy, "1");
        assert_eq!(memory.unsaved().len(), 1);
        assert_eq!(memory.unsaved().len(), 0);
        memory.not_saved(&envoy);
        assert_eq!(memory.unsaved().len(), 1);
        memory.note(&envoy, |_| false);
        assert_eq!(memory.unsaved().len(), 0);
    }

    #[test]
    fn there_is_an_end_to_how_many_are_remembered() {
        let memory = Memory::new(Vec::new());
        for number in 0..MAX_ENVOYS + 3 {
            take(&memory, &who(&format!("node-{number:02}"), "shared"), "1");
        }
        assert_eq!(memory.forget_oldest(), ["node-00", "node-01", "node-02"]);
        assert_eq!(memory.forget_oldest(), Vec::<String>::new());
    }
}
