//! Shared data as Envoy keeps it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::CasMismatch;

/// What the workers of one proxy share. Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct SharedData(Arc<Mutex<Store>>);

#[derive(Debug, Default)]
struct Store {
    values: HashMap<String, (Vec<u8>, u32)>,
    last_version: u32,
    workers: u8,
}

impl SharedData {
    pub(super) fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.lock().values.get(key).cloned()
    }

    /// The C++ host's rule, gaps included: an absent key is inserted whatever the version, and
    /// version zero always wins.
    pub(super) fn set(&self, key: &str, value: &[u8], version: u32) -> Result<(), CasMismatch> {
        let mut store = self.lock();
        let present = store.values.get(key).map(|(_, version)| *version);
        if present.is_some_and(|found| version != 0 && version != found) {
            return Err(CasMismatch);
        }
        store.last_version = store.last_version.wrapping_add(1);
        let version = store.last_version;
        store.values.insert(key.to_owned(), (value.to_vec(), version));
        Ok(())
    }

    pub(super) fn next_worker(&self) -> u8 {
        let mut store = self.lock();
        store.workers = store.workers.wrapping_add(1);
        store.workers
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
