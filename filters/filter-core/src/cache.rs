//! A bounded cache that is cheap to keep: two generations.

use std::collections::HashMap;

/// Remembers values by text. When the young generation is full, it becomes the old one and the
/// old one is forgotten at once; what is asked for again is young again. So the values used most
/// recently stay, between one and two generations of them, without a list to maintain.
///
/// The whole text is the key, not a digest of it: comparing a kilobyte is quicker than hashing it
/// with SHA-256 inside a VM, and the map's own hash is keyed at random.
#[derive(Debug)]
pub(crate) struct Generations<V> {
    young: HashMap<Box<str>, V>,
    old: HashMap<Box<str>, V>,
    young_bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

impl<V: Clone> Generations<V> {
    /// A cache whose generations hold at most `max_entries` values under keys of at most
    /// `max_bytes` together.
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, max_entries, max_bytes }
    }

    /// A copy of the value under `key`.
    pub(crate) fn get(&mut self, key: &str) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value.clone());
        Some(value)
    }

    /// Puts `value` under `key`, over what was there.
    pub(crate) fn insert(&mut self, key: &str, value: V) {
        self.old.remove(key);
        if let Some(present) = self.young.get_mut(key) {
            *present = value;
        } else {
            self.put(key.into(), value);
        }
    }

    fn put(&mut self, key: Box<str>, value: V) {
        let bytes = self.young_bytes.saturating_add(key.len());
        if self.young.len() >= self.max_entries || bytes > self.max_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes = self.young_bytes.saturating_add(key.len());
        self.young.insert(key, value);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut cache = Generations::new(4, 1000);
        cache.insert("used", 0);
        for n in 1..100 {
            cache.insert(&format!("once{n}"), n);
            assert_eq!(cache.get("used"), Some(0));
        }
        assert_eq!(cache.get("once1"), None);
        assert!(cache.len() <= 8);
    }

    #[test]
    fn long_keys_are_bounded_by_their_bytes() {
        let mut cache = Generations::new(1000, 100);
        for n in 0..50 {
            cache.insert(&format!("{n:040}"), n);
        }
        assert!(cache.len() <= 4, "{} entries", cache.len());
    }

    #[test]
    fn a_new_value_replaces_the_old_one_in_either_generation() {
        let mut cache = Generations::new(2, 1000);
        cache.insert("a", 1);
        cache.insert("a", 2);
        assert_eq!(cache.get("a"), Some(2));
        cache.insert("b", 0);
        cache.insert("c", 0);
        cache.insert("a", 3);
        assert_eq!(cache.get("a"), Some(3));
        assert_eq!(cache.len(), 3);
    }
}
