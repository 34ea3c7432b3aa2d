//! Which models are kept, and which one goes next.

use std::sync::Arc;

use lru::LruCache;

use crate::{Loaded, ModelKey};

/// Models in the order of their last use, and the bytes that they hold together.
pub(crate) struct Index {
    models: LruCache<ModelKey, Arc<Loaded>>,
    budget_bytes: u64,
    mapped_bytes: u64,
    private_bytes: u64,
}

impl Index {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self { models: LruCache::unbounded(), budget_bytes, mapped_bytes: 0, private_bytes: 0 }
    }

    pub(crate) fn use_now(&mut self, key: &ModelKey) -> Option<Arc<Loaded>> {
        self.models.get(key).cloned()
    }

    /// Whether it is kept; its last use stays what it was.
    pub(crate) fn contains(&self, key: &ModelKey) -> bool {
        self.models.contains(key)
    }

    /// Keeps `model`, which must fit the budget by itself, and returns what had to go for it.
    pub(crate) fn keep(&mut self, key: ModelKey, model: Arc<Loaded>) -> Vec<Arc<Loaded>> {
        self.remove(&key);
        let mut evicted = vec![];
        while self.bytes().saturating_add(model.bytes()) > self.budget_bytes {
            let Some((_, oldest)) = self.models.pop_lru() else { break };
            self.forget(&oldest);
            evicted.push(oldest);
        }
        self.mapped_bytes += model.mapped_bytes();
        self.private_bytes += model.private_bytes();
        self.models.put(key, model);
        evicted
    }

    /// Drops every model whose key `is_wanted` denies, and returns them.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(&ModelKey) -> bool) -> Vec<Arc<Loaded>> {
        let unwanted: Vec<ModelKey> =
            self.models.iter().map(|(key, _)| key).filter(|key| !is_wanted(key)).cloned().collect();
        unwanted.iter().filter_map(|key| self.remove(key)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.models.len()
    }

    pub(crate) const fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    pub(crate) const fn mapped_bytes(&self) -> u64 {
        self.mapped_bytes
    }

    pub(crate) const fn private_bytes(&self) -> u64 {
        self.private_bytes
    }

    fn remove(&mut self, key: &ModelKey) -> Option<Arc<Loaded>> {
        let model = self.models.pop(key)?;
        self.forget(&model);
        Some(model)
    }

    fn forget(&mut self, model: &Loaded) {
        self.mapped_bytes = self.mapped_bytes.saturating_sub(model.mapped_bytes());
        self.private_bytes = self.private_bytes.saturating_sub(model.private_bytes());
    }

    const fn bytes(&self) -> u64 {
        self.mapped_bytes.saturating_add(self.private_bytes)
    }
}
