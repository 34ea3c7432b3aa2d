//! What the server answers, as far as the commands read it.

use jiff::Timestamp;
use policy_model::diagnostic::Diagnostic;
use serde::{Deserialize, Serialize};
use xds::{ProxyStatus, RefusedBy};

/// What a change did, or would do.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(crate) struct Applied {
    pub(crate) revision: String,
    pub(crate) seq: u64,
    pub(crate) changes: Vec<String>,
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) tenants: Vec<TenantChanges>,
    /// Who tried it first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) canaries: Vec<String>,
}

/// What changes for a tenant, in words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct TenantChanges {
    pub(crate) tenant: String,
    pub(crate) changes: Vec<String>,
}

/// What a proxy refused, in its words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct ProxyRefusal {
    pub(crate) proxy: String,
    pub(crate) resource: String,
    pub(crate) message: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct History {
    pub(crate) revisions: Vec<Revision>,
}

/// A change set of the past.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Revision {
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) changes: Vec<String>,
    #[serde(default)]
    pub(crate) revision: Option<String>,
    /// For a rollback: the change set whose state holds again.
    #[serde(default)]
    pub(crate) rolled_back_to: Option<u64>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Shadow {
    pub(crate) counts: Vec<ShadowCount>,
}

/// How often a shadow check would have denied a tenant.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct ShadowCount {
    pub(crate) check: String,
    pub(crate) tenant: String,
    pub(crate) count: u64,
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) revision: String,
    pub(crate) seq: u64,
    pub(crate) groups: Vec<Group>,
    pub(crate) proxies: Vec<Proxy>,
}

/// A proxy, and the policy that it has in force.
#[derive(Debug, Deserialize)]
pub(crate) struct Proxy {
    #[serde(flatten)]
    pub(crate) status: ProxyStatus,
    /// The revision in force; none where it has none yet, or runs by none.
    #[serde(default)]
    pub(crate) revision: Option<String>,
    /// For how long.
    #[serde(default)]
    pub(crate) age_seconds: Option<i64>,
    /// Whether it is trying a change that the others do not have.
    #[serde(default)]
    pub(crate) canary: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Group {
    #[serde(default)]
    pub(crate) accepted: Vec<String>,
    pub(crate) refused: Vec<RefusedBy>,
    pub(crate) waiting: Vec<String>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Usage {
    pub(crate) records: Vec<UsageRecord>,
    pub(crate) total: u64,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct UsageRecord {
    pub(crate) tenant: String,
    pub(crate) period_start: String,
    pub(crate) metric: String,
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) data_plane: String,
    pub(crate) region: String,
    pub(crate) quantity: u64,
    pub(crate) events: u64,
}
