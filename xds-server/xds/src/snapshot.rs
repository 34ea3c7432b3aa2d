//! What is served: an immutable set of resources by type and name, each with a version that is its
//! content's hash.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

/// What a resource that is made by [`Resource::fetching`] holds in a field of text that means
/// nothing. Wherever it is sent, other digits of the same number stand in their place.
pub const STAMP: &str = "stamp-0000000000000000";

/// What a stamp begins with, whatever its digits are.
const STAMP_HEAD: &str = "stamp-";

/// One resource: the bytes of its `Any.value` and their version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    version: Arc<str>,
    value: Bytes,
    fetched: Option<Arc<str>>,
    stamp_at: Option<usize>,
}

impl Resource {
    fn new(value: Bytes) -> Self {
        let version = short_hex(Sha256::digest(&value).as_slice());
        Self { version, value, fetched: None, stamp_at: None }
    }

    /// A message that names something which the proxy fetches by itself, such as a filter's code by
    /// its digest: `what`. A refusal of it by a proxy that has not shown to have that is not taken
    /// for one until the proxy had the time to fetch it; until then it is sent again.
    ///
    /// The first [`STAMP`] in the message is another text each time it is sent: Envoy 1.40
    /// acknowledges a filter whose bytes are those that it saw last without looking at it, even
    /// where it refused them. The version is of the message as it is given.
    pub fn fetching(message: &impl Message, what: impl Into<Arc<str>>) -> Self {
        let resource = Self::of(message);
        let stamp_at = resource.value.windows(STAMP.len()).position(|it| it == STAMP.as_bytes());
        Self { fetched: Some(what.into()), stamp_at, ..resource }
    }

    /// A resource as another server sent it: under the version that it has there. `fetched` is what
    /// it names for the proxy to fetch, as in [`Resource::fetching`]; the stamp of such a resource
    /// is taken off again, so that it is the same however often it was sent.
    pub fn received(
        version: impl Into<Arc<str>>,
        value: impl Into<Bytes>,
        fetched: Option<Arc<str>>,
    ) -> Self {
        let (version, mut value) = (version.into(), value.into());
        let stamp_at = fetched.as_ref().and_then(|_| value.windows(STAMP.len()).position(is_stamp));
        if let Some(at) = stamp_at {
            let mut unstamped = value.to_vec();
            if let Some(stamp) = unstamped.get_mut(at..at + STAMP.len()) {
                stamp.copy_from_slice(STAMP.as_bytes());
            }
            value = unstamped.into();
        }
        Self { version, value, fetched, stamp_at }
    }

    /// A message, encoded and hashed once, for several snapshots. See
    /// [`SnapshotBuilder::resource`] on maps.
    pub fn of(message: &impl Message) -> Self {
        Self::new(message.encode_to_vec().into())
    }

    /// The first 128 bits of the SHA-256 of the value, in hexadecimal.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The encoded message, as it was given.
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// What the proxy must fetch before it can take this.
    pub fn fetched(&self) -> Option<&Arc<str>> {
        self.fetched.as_ref()
    }

    /// The encoded message as it travels in `Any.value`, with this number for its stamp.
    pub(crate) fn stamped(&self, number: u64) -> Vec<u8> {
        let mut value = self.value.to_vec();
        let stamp = self.stamp_at.and_then(|at| value.get_mut(at..at + STAMP.len()));
        if let Some(stamp) = stamp {
            stamp.copy_from_slice(format!("{STAMP_HEAD}{number:016x}").as_bytes());
        }
        value
    }
}

/// All resources of one type, with one version for them together.
#[derive(Debug)]
pub struct TypeResources {
    version: Arc<str>,
    resources: BTreeMap<String, Resource>,
}

impl TypeResources {
    fn new(resources: BTreeMap<String, Resource>) -> Self {
        let mut hash = Sha256::new();
        for (name, resource) in &resources {
            // The length keeps two neighbouring fields from being read as one.
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update(resource.version.as_bytes());
        }
        Self { version: short_hex(hash.finalize().as_slice()), resources }
    }

    /// Equal for equal resources, whatever the order in which they were added.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The resource of this name.
    pub fn get(&self, name: &str) -> Option<&Resource> {
        self.resources.get(name)
    }

    /// All resources, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Resource)> {
        self.resources.iter().map(|(name, resource)| (name.as_str(), resource))
    }
}

/// An immutable set of resources. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Snapshot {
    types: Arc<BTreeMap<String, TypeResources>>,
}

impl Snapshot {
    /// Starts an empty snapshot.
    pub fn builder() -> SnapshotBuilder {
        SnapshotBuilder::default()
    }

    /// The resources of a type. A type that was never added is a type without resources.
    pub fn of_type(&self, type_url: &str) -> &TypeResources {
        static NONE: LazyLock<TypeResources> =
            LazyLock::new(|| TypeResources::new(BTreeMap::new()));
        self.types.get(type_url).unwrap_or(&NONE)
    }

    /// The version of a type; two snapshots with the same resources of that type agree on it.
    pub fn type_version(&self, type_url: &str) -> &str {
        self.of_type(type_url).version()
    }

    /// The type URLs of which there are resources.
    pub fn type_urls(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.types, &other.types)
            || (self.types.len() == other.types.len()
                && self
                    .types
                    .iter()
                    .all(|(url, resources)| resources.version() == other.type_version(url)))
    }
}

impl Eq for Snapshot {}

/// Collects the resources of a [`Snapshot`].
#[derive(Clone, Debug, Default)]
pub struct SnapshotBuilder {
    types: BTreeMap<String, BTreeMap<String, Resource>>,
}

impl SnapshotBuilder {
    /// Adds a resource: `value` is the encoded message, without the `Any` around it. A second
    /// resource of the same type and name replaces the first.
    ///
    /// Protobuf does not fix the order of a map's entries: encode a message once and keep the
    /// bytes, or use maps of at most one entry, else equal content may get a new version.
    #[must_use]
    pub fn resource(
        self,
        type_url: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> Self {
        self.add(type_url, name, Resource::new(value.into()))
    }

    /// Adds a resource that was made before.
    #[must_use]
    pub fn add(
        mut self,
        type_url: impl Into<String>,
        name: impl Into<String>,
        resource: Resource,
    ) -> Self {
        self.types.entry(type_url.into()).or_default().insert(name.into(), resource);
        self
    }

    /// Adds a message under its own type URL. See [`SnapshotBuilder::resource`] on maps.
    #[must_use]
    pub fn message<M: prost::Name>(self, name: impl Into<String>, message: &M) -> Self {
        self.add(M::type_url(), name, Resource::of(message))
    }

    /// Fixes the resources and their versions.
    pub fn build(self) -> Snapshot {
        let types =
            self.types.into_iter().map(|(url, resources)| (url, TypeResources::new(resources)));
        Snapshot { types: Arc::new(types.collect()) }
    }
}

fn is_stamp(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(STAMP_HEAD.as_bytes());
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

fn short_hex(digest: &[u8]) -> Arc<str> {
    hex::encode(digest.get(..16).unwrap_or(digest)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_has_equal_versions_in_any_order() {
        let one = Snapshot::builder().resource("t", "a", "1").resource("t", "b", "2").build();
        let other = Snapshot::builder().resource("t", "b", "2").resource("t", "a", "1").build();
        assert_eq!(one, other);
        assert_eq!(one.type_version("t"), other.type_version("t"));
    }

    #[test]
    fn a_change_of_name_or_content_changes_the_version_of_its_type_alone() {
        let base = Snapshot::builder().resource("t", "a", "1").resource("u", "a", "1").build();
        for (name, value) in [("a", "2"), ("b", "1")] {
            let changed =
                Snapshot::builder().resource("t", name, value).resource("u", "a", "1").build();
            assert_ne!(base.type_version("t"), changed.type_version("t"));
            assert_eq!(base.type_version("u"), changed.type_version("u"));
            assert_ne!(base, changed);
        }
    }

    #[test]
    fn what_was_received_is_what_was_sent_whatever_its_stamp() {
        let sent = Resource::fetching(&format!("code at {STAMP}, and a table"), "code");
        let received = |stamp| {
            let fetched = sent.fetched().cloned();
            Resource::received(sent.version(), sent.stamped(stamp), fetched)
        };
        assert_ne!(sent.stamped(1), sent.stamped(2));
        assert_eq!((received(1), received(2)), (sent.clone(), sent.clone()));
        // What is not fetched has no stamp, even where it looks like one.
        let table = Resource::received("1", "stamp-00000000000000ff", None);
        assert_eq!(table.stamped(7), b"stamp-00000000000000ff");
    }

    #[test]
    fn a_snapshot_with_one_type_more_is_another_snapshot() {
        let one = Snapshot::builder().resource("t", "a", "1").build();
        let two = Snapshot::builder().resource("t", "a", "1").resource("u", "a", "1").build();
        assert_ne!(one, two);
        assert_ne!(two, one);
    }
}
