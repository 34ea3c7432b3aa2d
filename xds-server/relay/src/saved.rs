//! What was taken on the disk, a file for each Envoy: a SHA-256 digest (32 bytes) and the message
//! that it is of, replaced as a whole.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::Node;
use jiff::Timestamp;
use prost::Message;
use tenancy::Digest;
use xds::Resource;

use crate::{
    files,
    memory::{Taken, Who},
    resources::{Resources, with_version},
};

const DIGEST_BYTES: usize = 32;

/// How the files' names end.
const EXTENSION: &str = "snapshot";

/// A file that is as good as none.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected `{}` to hold what an Envoy took last, found it damaged: it is served to nobody, and \
     replaced once the xds-server can be reached; an Envoy that starts before that serves nobody",
    path.display()
)]
pub(crate) struct Damaged {
    path: PathBuf,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(int64, tag = "2")]
    taken_at_unix_seconds: i64,
    #[prost(message, repeated, tag = "3")]
    resources: Vec<SavedResource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SavedResource {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    version: String,
    #[prost(bytes = "bytes", tag = "4")]
    value: Bytes,
}

/// All that was saved in `folder`. A damaged file is told in the log, and is as good as none.
pub(crate) fn load_all(folder: &Path) -> anyhow::Result<Vec<Taken>> {
    let mut all = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("{}", folder.display()))?.path();
        if path.extension().is_none_or(|it| it != EXTENSION) {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        match decode(&bytes) {
            Some(taken) => {
                let (envoy, at) = (taken.who.id(), taken.at);
                tracing::info!(envoy, %at, "remembered what it took last");
                all.push(taken);
            }
            None => tracing::error!(error = %Damaged { path }, "the last good snapshot is lost"),
        }
    }
    Ok(all)
}

/// Replaces what was saved of this Envoy, durably. Blocks on the disk.
pub(crate) fn save(folder: &Path, taken: &Taken) -> io::Result<()> {
    let saved = encode(taken);
    files::replace(folder, &file_name(taken.who.id()), &[Digest::of(&saved).as_bytes(), &saved])
}

/// Removes what was saved of the Envoy of this id.
pub(crate) fn remove(folder: &Path, id: &str) -> io::Result<()> {
    fs::remove_file(folder.join(file_name(id)))
}

/// An id is whatever a bootstrap says, and no name for a file.
fn file_name(id: &str) -> String {
    format!("{}.{EXTENSION}", Digest::of(id.as_bytes()).hex())
}

fn encode(taken: &Taken) -> Vec<u8> {
    let resource = |type_url: &str, name: &str, resource: &Resource| SavedResource {
        type_url: type_url.to_owned(),
        name: name.to_owned(),
        version: resource.version().to_owned(),
        value: resource.value().clone(),
    };
    let of_type = |(type_url, named): (&String, &BTreeMap<String, Resource>)| {
        named.iter().map(|(name, it)| resource(type_url, name, it)).collect::<Vec<_>>()
    };
    let saved = Saved {
        node: Some(taken.who.node().clone()),
        taken_at_unix_seconds: taken.at.as_second(),
        resources: taken.resources.iter().flat_map(of_type).collect(),
    };
    saved.encode_to_vec()
}

fn decode(bytes: &[u8]) -> Option<Taken> {
    let (digest, message) = bytes.split_at_checked(DIGEST_BYTES)?;
    if Digest::of(message).as_bytes() != digest {
        return None;
    }
    let saved = Saved::decode(message).ok()?;
    let mut resources = Resources::new();
    for SavedResource { type_url, name, version, value } in saved.resources {
        let resource = with_version(&type_url, &version, value);
        resources.entry(type_url).or_default().insert(name, resource);
    }
    let at = Timestamp::from_second(saved.taken_at_unix_seconds).ok()?;
    Some(Taken { who: Who::of(&saved.node?), at, resources })
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
    use proptest::prelude::*;

    use super::*;

    fn taken(value: &'static str) -> Taken {
        let fields = ["role", "listen", "data_plane"].map(|name| {
            let kind = Some(Kind::StringValue(format!("its {name}")));
            (name.to_owned(), Value { kind })
        });
        let node = Node {
            id: "../node 1".to_owned(),
            metadata: Some(Struct { fields: fields.into() }),
            ..Node::default()
        };
        let named = ["a", "b"].map(|name| (name.to_owned(), Resource::received("1", value, None)));
        Taken {
            who: Who::of(&node),
            at: Timestamp::from_second(1_790_000_000).unwrap(),
            resources: [("t".to_owned(), named.into())].into(),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_again_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &taken("1")).unwrap();
        save(folder.path(), &taken("2")).unwrap();
        assert_eq!(load_all(folder.path()).unwrap(), [taken("2")]);
        remove(folder.path(), "../node 1").unwrap();
        assert_eq!(load_all(folder.path()).unwrap(), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_damaged_file_is_as_good_as_none(at: prop::sample::Index, flip in 1..=255_u8, cut: bool) {
            let folder = tempfile::tempdir().unwrap();
            save(folder.path(), &taken("1")).unwrap();
            let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            fs::write(&path, bytes).unwrap();
            prop_assert_eq!(load_all(folder.path()).unwrap(), []);
        }
    }
}
