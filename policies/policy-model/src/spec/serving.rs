//! What tenants are given of a node, and how a data plane serves: parts of `Tier`, `Tenant` and
//! `DataPlane`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a tenant is given of a node's processors. What a tenant does not say its tier says, and what
/// neither says has a default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShareSpec {
    /// Its part of the execution time beside the weights of the other tenants of the node that have
    /// work. 1 to 10,000; 1 where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub weight: Option<u32>,
    /// How soon its requests are taken, beside how much it gets; `normal` where it is not said. No
    /// priority starves another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// How many of its executions run at once on a node. At least 1; 8 where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
    /// How many of its requests wait on a node; more are answered with 503. At least 1; 64 where it
    /// is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub waiting: Option<u32>,
}

/// How soon a tenant's requests are taken.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After the others, where all have had their share.
    Low,
    /// As most.
    #[default]
    Normal,
    /// Ahead of the others, where all have had their share.
    High,
}

impl Priority {
    /// Its name in resources and assignments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// What a tenant is given of a node's memory for models of its own. What a tenant does not say its
/// tier says, and what neither says has a default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemorySpec {
    /// So many bytes of its loaded models do not go to make room for others; 0 where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_bytes: Option<u64>,
    /// The most bytes that its loaded models take; the node's whole budget where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling_bytes: Option<u64>,
    /// Whether its models are loaded when they are assigned, and stay; not where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// The same of the memory of the nodes' devices, where they have any: models are copied there while
    /// they run faster so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceMemorySpec>,
}

/// What a tenant is given of a device's memory for models of its own. What a tenant does not say its tier
/// says, and what neither says has a default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceMemorySpec {
    /// So many bytes of its models on a device do not go to make room for others; 0 where it is not
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_bytes: Option<u64>,
    /// The most bytes that its models take there; the whole budget where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling_bytes: Option<u64>,
}

/// How the nodes of a data plane serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServingSpec {
    /// The most rows that requests are joined to, whoever they are of; 1 joins none. At least 1; 32
    /// where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_batch_rows: Option<u32>,
    /// For how long a request waits for others to be joined with, in microseconds, at most a second;
    /// 0 where it is not said, which joins what waits anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub batch_wait_micros: Option<u32>,
    /// For how long a node keeps a version loaded that another one has replaced, so that going back
    /// to it takes no load; 300 where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_old_version_seconds: Option<u32>,
}
