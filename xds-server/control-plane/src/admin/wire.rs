//! What the interface takes and gives, as JSON.

use jiff::Timestamp;
use policy_model::diagnostic::Diagnostic;
use registry::{ChangeSet, TenantImpact};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A file of resources.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The name, for diagnostics.
    pub(super) name: String,
    /// What it holds: YAML.
    pub(super) text: String,
}

/// Who is to try a change before everybody has it: `percent` or `proxy`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Canary {
    /// So many of a hundred of the connected proxies of each kind, and at least one.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub(super) percent: Option<u8>,
    /// The proxy with this node id.
    #[serde(default)]
    pub(super) proxy: Option<String>,
    /// For how many seconds their answers are waited for; 30 where it is not said.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 300)]
    pub(super) patience_seconds: Option<u32>,
}

/// A change to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyRequest {
    /// What is to hold, in files. What they do not name stays.
    pub(super) files: Vec<File>,
    /// A journal entry that the caller has seen: where something was changed after it, nothing is
    /// written (409 `stale_change`).
    #[serde(default)]
    pub(super) expected_seq: Option<u64>,
    /// Why, for the history: at most 1024 bytes.
    #[serde(default)]
    pub(super) message: Option<String>,
    /// Whether what the files do not name is deleted. What ships with the release stays.
    #[serde(default)]
    pub(super) prune: bool,
    /// Whether only to tell what it would do.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// Who is to try it first. Where one of them refuses, nothing is written.
    #[serde(default)]
    pub(super) canary: Option<Canary>,
}

/// A change to look at: a dry run of an apply.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DiffRequest {
    /// What is to hold, in files.
    pub(super) files: Vec<File>,
    /// Whether what they do not name would be deleted.
    #[serde(default)]
    pub(super) prune: bool,
}

/// An earlier state to go back to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackRequest {
    /// A journal entry of its time, or a revision of the gate's table.
    pub(super) to: Target,
    /// As for an apply.
    #[serde(default)]
    pub(super) expected_seq: Option<u64>,
    /// As for an apply.
    #[serde(default)]
    pub(super) message: Option<String>,
    /// As for an apply.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// As for an apply.
    #[serde(default)]
    pub(super) canary: Option<Canary>,
}

/// A state of the past.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Target {
    /// By a journal entry: the state that held right after it.
    Seq(u64),
    /// By a revision of the gate's table, in full or its first 8 digits or more.
    Revision(String),
}

/// What a change did, or would do.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    /// The revision of the gate's table that holds it.
    pub(super) revision: String,
    /// The newest change set: this one, or, where nothing was written, the one before.
    pub(super) seq: u64,
    /// What changed, in words, a resource each.
    pub(super) changes: Vec<String>,
    /// What somebody should look at.
    #[schema(value_type = Vec<DiagnosticSchema>)]
    pub(super) warnings: Vec<Diagnostic>,
    /// Whether it only tells what would be.
    pub(super) dry_run: bool,
    /// What changes for which tenant.
    pub(super) tenants: Vec<TenantChanges>,
    /// Who tried it first, where somebody did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) canaries: Vec<String>,
}

/// What changes for a tenant.
#[derive(Serialize, ToSchema)]
pub(super) struct TenantChanges {
    /// The tenant.
    pub(super) tenant: String,
    /// What becomes different for it, in words.
    pub(super) changes: Vec<String>,
}

impl From<TenantImpact> for TenantChanges {
    fn from(impact: TenantImpact) -> Self {
        Self { tenant: impact.tenant.to_string(), changes: impact.changes }
    }
}

/// What a proxy refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ProxyRefusal {
    /// Its node id.
    pub(super) proxy: String,
    /// What it refused; where that cannot be told, the type of it.
    pub(super) resource: String,
    /// Its own words.
    pub(super) message: String,
}

/// The resources of a time.
#[derive(Serialize, ToSchema)]
pub(super) struct Resources {
    /// The journal entry at which they hold; fit for `expected_seq`.
    pub(super) seq: u64,
    /// The resources, in the shape of their YAML.
    #[schema(value_type = Vec<Object>)]
    pub(super) resources: Vec<Value>,
}

/// The change sets of a time.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    /// Newest first.
    pub(super) revisions: Vec<Revision>,
}

/// What one apply, deletion or rollback did.
#[derive(Serialize, ToSchema)]
pub(super) struct Revision {
    /// Its last journal entry.
    pub(super) seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub(super) at: Timestamp,
    /// Who.
    pub(super) actor: String,
    /// Why.
    pub(super) message: Option<String>,
    /// What, in words, a resource each.
    pub(super) changes: Vec<String>,
    /// The revision of the gate's table that held it first, where that is known.
    pub(super) revision: Option<String>,
    /// For a rollback: the change set whose state holds again.
    pub(super) rolled_back_to: Option<u64>,
}

impl From<ChangeSet> for Revision {
    fn from(set: ChangeSet) -> Self {
        let ChangeSet { seq, at, actor, message, revision, rolled_back_to, changes, .. } = set;
        Self { seq, at, actor, message, changes, revision, rolled_back_to }
    }
}

/// A change set in words, a line for each of its changes.
pub(super) fn in_words(set: &ChangeSet) -> Vec<String> {
    let message = set.message.as_deref().map(|it| format!(" ({it})")).unwrap_or_default();
    let who = format!("entry {}, {} at {}{message}", set.seq, set.actor, set.at);
    set.changes.iter().map(|change| format!("{who}: {change}")).collect()
}

/// Entries of the journal.
#[derive(Serialize, ToSchema)]
pub(super) struct Journal {
    /// Oldest first.
    pub(super) entries: Vec<JournalEntry>,
}

/// An entry of the journal.
#[derive(Serialize, ToSchema)]
pub(super) struct JournalEntry {
    /// Its number, from 1, without gaps.
    pub(super) seq: u64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub(super) at: Timestamp,
    /// Who asked for it.
    pub(super) actor: String,
    /// The event's name.
    pub(super) kind: String,
    /// The event's content.
    #[schema(value_type = Object)]
    pub(super) payload: Value,
    /// The hash of the entry before it.
    pub(super) previous_hash: String,
    /// Its hash, over the one before and all that it says.
    pub(super) hash: String,
}

/// Who is asking.
#[derive(Serialize, ToSchema)]
pub(super) struct Whoami {
    /// What the journal calls them.
    pub(super) name: String,
    /// What they may do.
    pub(super) role: crate::operators::Role,
}

/// Who may use the interface.
#[derive(Serialize, ToSchema)]
pub(super) struct Operators {
    /// Whether there are operators at all; without them everybody on this machine is an admin.
    pub(super) configured: bool,
    /// Everybody.
    pub(super) operators: Vec<Whoami>,
    /// Why the operators' file as it is now is not in force, where it is not.
    pub(super) refusal: Option<String>,
}

/// An artifact that was taken in.
#[derive(Serialize, ToSchema)]
pub(super) struct Stored {
    /// Its SHA-256, `sha256:` and 64 digits.
    pub(super) digest: String,
    /// Its size.
    pub(super) bytes: u64,
}

/// What shadow checks would have denied.
#[derive(Serialize, ToSchema)]
pub(super) struct Shadow {
    /// By check and tenant.
    pub(super) counts: Vec<ShadowCount>,
}

/// How often a shadow check would have denied a tenant.
#[derive(Serialize, ToSchema)]
pub(super) struct ShadowCount {
    /// The check.
    pub(super) check: String,
    /// The tenant.
    pub(super) tenant: String,
    /// How often.
    pub(super) count: u64,
    /// Since when it is counted.
    #[schema(value_type = String, format = DateTime)]
    pub(super) since: Timestamp,
}

/// A mistake in resources, or a warning.
#[derive(ToSchema)]
#[schema(as = Diagnostic)]
#[allow(dead_code, reason = "it describes policy_model::diagnostic::Diagnostic")]
pub(super) struct DiagnosticSchema {
    /// `error` or `warning`.
    severity: String,
    /// Where it was written.
    origin: OriginSchema,
    /// Which resource, as `Kind/name`; empty where none could be read.
    resource: String,
    /// What was expected, what was found, and what to do.
    message: String,
    /// The declared check that says so, by its name; not there where it is the compiler's own rule.
    check: Option<String>,
}

/// Where a resource was written.
#[derive(ToSchema)]
#[schema(as = Origin)]
#[allow(dead_code, reason = "it describes policy_model::diagnostic::Origin")]
pub(super) struct OriginSchema {
    /// The file, as the user named it.
    file: String,
    /// The line, from 1; 0 where it is not known.
    line: u64,
    /// The column, from 1; 0 where it is not known.
    column: u64,
}

/// Usage records of a period.
#[derive(Serialize, ToSchema)]
pub(super) struct Usage {
    /// The records.
    #[schema(value_type = Vec<UsageRecordSchema>)]
    pub(super) records: Vec<registry::UsageRecord>,
    /// Their quantities together.
    pub(super) total: u64,
    /// How many events they are made of.
    pub(super) events: u64,
}

/// A batch of usage events, as a sidecar hands them in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// The events. One that cannot be believed is kept apart and not billed.
    #[schema(value_type = Vec<Object>)]
    pub(super) events: Vec<Value>,
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct Recorded {
    /// Counted.
    pub(super) new: u64,
    /// Seen before, and so not counted again.
    pub(super) duplicates: u64,
    /// Kept but not billed: they cannot be believed.
    pub(super) quarantined: u64,
}

/// Whether raw events add up to records.
#[derive(Serialize, ToSchema)]
pub(super) struct Reconciled {
    /// Whether they do.
    pub(super) agrees: bool,
    /// What was found on both sides.
    #[schema(value_type = Object)]
    pub(super) found: Value,
}

/// Usage of one tenant, model and data plane in one period.
#[derive(ToSchema)]
#[schema(as = UsageRecord)]
#[allow(dead_code, reason = "it describes registry::UsageRecord")]
pub(super) struct UsageRecordSchema {
    /// Whose.
    tenant: String,
    /// The start of the hour, day or month.
    #[schema(format = DateTime)]
    period_start: String,
    /// What is counted.
    metric: String,
    /// The model.
    model: String,
    /// Its version.
    version: String,
    /// Where it was served.
    data_plane: String,
    /// In which region.
    region: String,
    /// How much.
    quantity: u64,
    /// In how many events.
    events: u64,
}
