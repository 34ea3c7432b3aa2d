//! Resources as they came, with their versions: what is told to the control plane on reconnecting
//! and what is saved.

use std::collections::BTreeMap;

use bytes::Bytes;
use xds::client::Upsert;

/// Encoded resources, by type URL and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    types: BTreeMap<String, BTreeMap<String, Held>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    version: String,
    value: Bytes,
}

impl Resources {
    pub(crate) fn put(&mut self, type_url: &str, upsert: Upsert) {
        let held = Held { version: upsert.version, value: upsert.value };
        self.types.entry(type_url.to_owned()).or_default().insert(upsert.name, held);
    }

    pub(crate) fn remove(&mut self, type_url: &str, name: &str) {
        if let Some(resources) = self.types.get_mut(type_url) {
            resources.remove(name);
        }
    }

    /// Type URL, name and value of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, &[u8])> {
        self.entries().map(|(type_url, name, _, value)| (type_url, name, value))
    }

    /// Type URL, name, version and value of each.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &str, &str, &[u8])> {
        self.types.iter().flat_map(|(type_url, resources)| {
            resources.iter().map(move |(name, held)| {
                (type_url.as_str(), name.as_str(), held.version.as_str(), &*held.value)
            })
        })
    }

    /// Name and version of each resource of a type.
    pub(crate) fn versions(&self, type_url: &str) -> Vec<(String, String)> {
        let held = self.types.get(type_url).into_iter().flatten();
        held.map(|(name, held)| (name.clone(), held.version.clone())).collect()
    }
}
