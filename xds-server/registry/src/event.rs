//! What the journal says happened.
//!
//! The names and payloads are a format: journals that older releases wrote are read for ever. A
//! new kind of event may be added, and a new field where its absence means what was meant before.

use jiff::Timestamp;
use policy_model::spec::Kind;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tenancy::Digest;

use crate::chain::RawEntry;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A resource was created or changed.
    ResourceApplied(ResourceApplied),
    /// A resource was deleted.
    ResourceDeleted(ResourceDeleted),
    /// The entries since [`ChangeSetCommitted::first_seq`] hold from here on, all together.
    ChangeSetCommitted(ChangeSetCommitted),
    /// The gate's table has another revision although no resource changed, as when an issuer
    /// published new keys.
    RevisionPublished(RevisionPublished),
    /// A change is being tried on some proxies.
    CanaryStarted(CanaryStarted),
    /// The trial has ended.
    CanaryEnded(CanaryEnded),
    /// A model's artifact was taken into the store.
    ArtifactStored(ArtifactStored),
}

/// The whole resource from then on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceApplied {
    /// The resource, in the shape of its YAML.
    pub resource: Value,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceDeleted {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// One change, whole: what one apply, deletion or rollback did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeSetCommitted {
    /// The first entry that belongs to it; this event's is the last.
    pub first_seq: u64,
    /// Why, in the words of who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The revision of the gate's table that holds it, as compiled before it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// For a rollback: the change set whose state holds again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<u64>,
    /// What changed, in words.
    pub changes: Vec<String>,
}

/// A revision without a change of resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevisionPublished {
    /// The gate's table.
    pub revision: String,
}

/// What is being tried, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryStarted {
    /// Which proxies, in words.
    pub selection: String,
    /// The revision that is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Why, in the words of who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it would change, in words.
    pub changes: Vec<String>,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryEnded {
    /// The entry of its start.
    pub started_seq: u64,
    /// What came of it.
    pub outcome: CanaryOutcome,
    /// Who accepted, who refused and why, or what went wrong, in words.
    pub details: Vec<String>,
}

/// What came of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryOutcome {
    /// Every proxy asked has taken it: it is committed next.
    Accepted,
    /// A proxy refused it: it was taken back.
    Refused,
    /// A proxy did not answer in time: it was taken back.
    Unanswered,
    /// It did not come to an end: the control plane stopped, or could not go on. Nothing of it is
    /// in force.
    Abandoned,
}

/// An artifact in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactStored {
    /// Its SHA-256.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

pub(crate) const CHANGE_SET_COMMITTED: &str = "ChangeSetCommitted";
pub(crate) const REVISION_PUBLISHED: &str = "RevisionPublished";
const RESOURCE_APPLIED: &str = "ResourceApplied";
const RESOURCE_DELETED: &str = "ResourceDeleted";
const CANARY_STARTED: &str = "CanaryStarted";
const CANARY_ENDED: &str = "CanaryEnded";
const ARTIFACT_STORED: &str = "ArtifactStored";

impl Event {
    /// The event's name in the journal.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ResourceApplied(_) => RESOURCE_APPLIED,
            Self::ResourceDeleted(_) => RESOURCE_DELETED,
            Self::ChangeSetCommitted(_) => CHANGE_SET_COMMITTED,
            Self::RevisionPublished(_) => REVISION_PUBLISHED,
            Self::CanaryStarted(_) => CANARY_STARTED,
            Self::CanaryEnded(_) => CANARY_ENDED,
            Self::ArtifactStored(_) => ARTIFACT_STORED,
        }
    }

    /// The payload as it is written and hashed.
    pub(crate) fn payload(&self) -> String {
        let json = match self {
            Self::ResourceApplied(event) => serde_json::to_value(event),
            Self::ResourceDeleted(event) => serde_json::to_value(event),
            Self::ChangeSetCommitted(event) => serde_json::to_value(event),
            Self::RevisionPublished(event) => serde_json::to_value(event),
            Self::CanaryStarted(event) => serde_json::to_value(event),
            Self::CanaryEnded(event) => serde_json::to_value(event),
            Self::ArtifactStored(event) => serde_json::to_value(event),
        };
        // Only maps with other keys than text and failing Serialize impls make this fail: there
        // are none, and what is written is read back before it is kept.
        json.unwrap_or_default().to_string()
    }

    /// The event that an entry holds.
    pub(crate) fn read(kind: &str, payload: &str) -> Result<Self, String> {
        match kind {
            RESOURCE_APPLIED => content(kind, payload).map(Self::ResourceApplied),
            RESOURCE_DELETED => content(kind, payload).map(Self::ResourceDeleted),
            CHANGE_SET_COMMITTED => content(kind, payload).map(Self::ChangeSetCommitted),
            REVISION_PUBLISHED => content(kind, payload).map(Self::RevisionPublished),
            CANARY_STARTED => content(kind, payload).map(Self::CanaryStarted),
            CANARY_ENDED => content(kind, payload).map(Self::CanaryEnded),
            ARTIFACT_STORED => content(kind, payload).map(Self::ArtifactStored),
            other => Err(format!("an event `{other}` that this release does not know")),
        }
    }
}

fn content<T: DeserializeOwned>(kind: &str, payload: &str) -> Result<T, String> {
    serde_json::from_str(payload).map_err(|error| format!("a malformed payload of {kind}: {error}"))
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
            at: raw.at(),
            actor: raw.actor,
            kind: raw.kind,
            payload: serde_json::from_str(&raw.payload).unwrap_or(Value::String(raw.payload)),
            previous_hash: raw.previous_hash,
            hash: raw.hash,
        }
    }
}
