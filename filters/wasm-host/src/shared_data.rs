//! Data that every VM of one vm id shares, changed by compare-and-swap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Status;

/// All values together are no more than this; a guest that wants more is told that the host failed.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// The key-value store behind `proxy_get_shared_data` and `proxy_set_shared_data`.
///
/// Envoy has one in the process, and its keys are scoped by vm id. Give clones of one handle to
/// several VMs to model several workers; VMs with another vm id see nothing of it.
///
/// The compare-and-swap rule is the C++ host's, gaps included: a key that is absent is inserted
/// whatever the expected number says, and an expected number of zero always wins.
#[derive(Clone, Debug, Default)]
pub struct SharedData {
    store: Arc<Mutex<Store>>,
}

#[derive(Debug, Default)]
struct Store {
    /// By vm id, then by key.
    values: HashMap<String, HashMap<Vec<u8>, Versioned>>,
    last_cas: u32,
    /// Of all keys and values.
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Versioned {
    value: Vec<u8>,
    cas: u32,
}

impl SharedData {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of `key` for VMs of `vm_id`, and the number to give to the next [`Self::set`].
    #[must_use]
    pub fn get(&self, vm_id: &str, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        let store = self.lock();
        let found = store.values.get(vm_id)?.get(key)?;
        Some((found.value.clone(), found.cas))
    }

    /// Sets `key` for VMs of `vm_id`.
    ///
    /// # Errors
    /// [`Status::CasMismatch`] where `expected` is not zero, the key is there, and its number is
    /// another. [`Status::InternalFailure`] where the store would hold more than 256 MiB.
    pub fn set(&self, vm_id: &str, key: &[u8], value: &[u8], expected: u32) -> Result<(), Status> {
        let mut store = self.lock();
        let present = store.values.get(vm_id).and_then(|keys| keys.get(key));
        if present.is_some_and(|found| expected != 0 && expected != found.cas) {
            return Err(Status::CasMismatch);
        }
        let replaced = present.map_or(0, |found| key.len() + found.value.len());
        let bytes = store.bytes.saturating_sub(replaced).saturating_add(key.len() + value.len());
        if bytes > MAX_BYTES {
            return Err(Status::InternalFailure);
        }
        store.bytes = bytes;
        let cas = store.next_cas();
        let versioned = Versioned { value: value.to_vec(), cas };
        store.values.entry(vm_id.to_owned()).or_default().insert(key.to_vec(), versioned);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Zero means "no expectation", so it is never handed out.
    fn next_cas(&mut self) -> u32 {
        self.last_cas = self.last_cas.checked_add(1).unwrap_or(1);
        self.last_cas
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::SharedData;
    use crate::Status;

    #[test]
    fn an_absent_key_is_inserted_whatever_was_expected() {
        let data = SharedData::new();
        assert_eq!(data.set("vm", b"k", b"v", 77), Ok(()));
        assert_eq!(data.get("vm", b"k").unwrap().0, b"v");
    }

    #[test]
    fn a_stale_expectation_is_refused_and_zero_always_wins() {
        let data = SharedData::new();
        data.set("vm", b"k", b"1", 0).unwrap();
        let (_, first) = data.get("vm", b"k").unwrap();
        data.set("vm", b"k", b"2", first).unwrap();
        assert_eq!(data.set("vm", b"k", b"3", first), Err(Status::CasMismatch));
        assert_eq!(data.get("vm", b"k").unwrap().0, b"2");
        assert_eq!(data.set("vm", b"k", b"4", 0), Ok(()));
    }

    #[test]
    fn the_store_is_bounded_and_smaller_values_make_room() {
        let data = SharedData::new();
        data.set("vm", b"k", &vec![0; super::MAX_BYTES - 1], 0).unwrap();
        assert_eq!(data.set("vm", b"l", b"", 0), Err(Status::InternalFailure));
        data.set("vm", b"k", b"", 0).unwrap();
        assert_eq!(data.set("vm", b"l", b"", 0), Ok(()));
    }

    #[test]
    fn another_vm_id_sees_nothing() {
        let data = SharedData::new();
        data.set("one", b"k", b"v", 0).unwrap();
        assert_eq!(data.get("two", b"k"), None);
    }
}
