//! What the journal says happened.

use jiff::Timestamp;
use policy_model::spec::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenancy::Digest;

use crate::chain::RawEntry;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A resource was created or changed; the JSON is the whole resource from then on.
    ResourceApplied {
        /// The resource, in the shape of its YAML.
        resource: Value,
    },
    /// A resource was deleted.
    ResourceDeleted {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// A model's artifact was taken into the store.
    ArtifactStored {
        /// Its SHA-256.
        digest: Digest,
        /// Its size.
        bytes: u64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Applied {
    resource: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deleted {
    kind: Kind,
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    digest: Digest,
    bytes: u64,
}

const RESOURCE_APPLIED: &str = "ResourceApplied";
const RESOURCE_DELETED: &str = "ResourceDeleted";
const ARTIFACT_STORED: &str = "ArtifactStored";

impl Event {
    /// The event's name in the journal.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ResourceApplied { .. } => RESOURCE_APPLIED,
            Self::ResourceDeleted { .. } => RESOURCE_DELETED,
            Self::ArtifactStored { .. } => ARTIFACT_STORED,
        }
    }

    /// The payload as it is written and hashed.
    pub(crate) fn payload(&self) -> String {
        let json = match self {
            Self::ResourceApplied { resource } => serde_json::json!({ "resource": resource }),
            Self::ResourceDeleted { kind, name } => {
                serde_json::json!({ "kind": kind, "name": name })
            }
            Self::ArtifactStored { digest, bytes } => {
                serde_json::json!({ "digest": digest, "bytes": bytes })
            }
        };
        json.to_string()
    }

    /// The event that an entry holds.
    pub(crate) fn read(kind: &str, payload: &str) -> Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("a malformed payload of {kind}: {error}");
        match kind {
            RESOURCE_APPLIED => serde_json::from_str(payload)
                .map(|Applied { resource }| Self::ResourceApplied { resource })
                .map_err(wrong),
            RESOURCE_DELETED => serde_json::from_str(payload)
                .map(|Deleted { kind, name }| Self::ResourceDeleted { kind, name })
                .map_err(wrong),
            ARTIFACT_STORED => serde_json::from_str(payload)
                .map(|Stored { digest, bytes }| Self::ArtifactStored { digest, bytes })
                .map_err(wrong),
            other => Err(format!("an event `{other}` that this release does not know")),
        }
    }
}

/// An entry of the journal, as the audit trail shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Who asked for it.
    pub actor: String,
    /// The event's name.
    pub kind: String,
    /// The event's content.
    pub payload: Value,
    /// The hash of the entry before it; zeros for the first.
    pub previous_hash: Digest,
    /// The hash of this entry.
    pub hash: Digest,
}

impl From<RawEntry> for Entry {
    fn from(raw: RawEntry) -> Self {
        Self {
            seq: raw.seq,
            at: Timestamp::from_microsecond(raw.at_unix_micros).unwrap_or_default(),
            actor: raw.actor,
            kind: raw.kind,
            payload: serde_json::from_str(&raw.payload).unwrap_or(Value::String(raw.payload)),
            previous_hash: raw.previous_hash,
            hash: raw.hash,
        }
    }
}
