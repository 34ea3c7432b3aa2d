//! A bounded cache that is cheap to keep: two generations.

use std::collections::HashMap;

/// Remembers values by text. When the young generation is full, it becomes the old one and the
/// old one is forgotten at once; what is asked for again is young again. So the values used most
/// recently stay, between one and two generations of them, without a list to maintain.
///
/// The whole text is compared, and not a digest of it: that is quicker than hashing a kilobyte
/// inside a VM. It is found by its [`Tail`]; of two texts that end alike the later is remembered.
#[derive(Debug)]
pub(crate) struct Generations<V> {
    young: HashMap<Tail, Entry<V>>,
    old: HashMap<Tail, Entry<V>>,
    young_bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

/// The last bytes of a text. Those of a token are of its signature, and so differ; the map's hash of
/// them is keyed at random.
type Tail = [u8; 32];

#[derive(Debug)]
struct Entry<V> {
    text: Box<str>,
    value: V,
}

impl<V: Clone> Generations<V> {
    /// A cache whose generations hold at most `max_entries` values under keys of at most
    /// `max_bytes` together.
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, max_entries, max_bytes }
    }

    /// A copy of the value under `key`.
    pub(crate) fn get(&mut self, key: &str) -> Option<V> {
        let tail = tail(key);
        if let Some(entry) = self.young.get(&tail) {
            return is_same(&entry.text, key).then(|| entry.value.clone());
        }
        self.old.get(&tail).filter(|entry| is_same(&entry.text, key))?;
        let entry = self.old.remove(&tail)?;
        let value = entry.value.clone();
        self.put(tail, entry);
        Some(value)
    }

    /// Puts `value` under `key`, over what was there.
    pub(crate) fn insert(&mut self, key: &str, value: V) {
        let tail = tail(key);
        self.old.remove(&tail);
        if let Some(present) = self.young.remove(&tail) {
            self.young_bytes = self.young_bytes.saturating_sub(present.text.len());
        }
        self.put(tail, Entry { text: key.into(), value });
    }

    fn put(&mut self, tail: Tail, entry: Entry<V>) {
        let bytes = self.young_bytes.saturating_add(entry.text.len());
        if self.young.len() >= self.max_entries || bytes > self.max_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes = self.young_bytes.saturating_add(entry.text.len());
        self.young.insert(tail, entry);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// Word by word: a VM's C library compares byte by byte, which takes a good part of a microsecond for a
/// token.
fn is_same(a: &str, b: &str) -> bool {
    let (a, a_rest) = a.as_bytes().as_chunks::<8>();
    let (b, b_rest) = b.as_bytes().as_chunks::<8>();
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    a.len() == b.len() && a_rest == b_rest && a.iter().zip(b).all(|(a, b)| word(a) == word(b))
}

fn tail(text: &str) -> Tail {
    let mut tail = Tail::default();
    for (to, from) in tail.iter_mut().rev().zip(text.bytes().rev()) {
        *to = from;
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_end_alike_are_told_apart() {
        let end = "x".repeat(32);
        let (a, b) = (format!("a{end}"), format!("b{end}"));
        let mut cache = Generations::new(4, 1000);
        cache.insert(&a, 1);
        assert_eq!(cache.get(&b), None);
        cache.insert(&b, 2);
        assert_eq!((cache.get(&a), cache.get(&b)), (None, Some(2)));
        assert_eq!(cache.get("x"), None);
    }

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
