//! `kind: Tenant`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenancy::{DataPlaneId, ModelName, Tier, Version};

use super::{Bases, MemorySpec, RateLimitSpec, ShareSpec};
use crate::schema::{Name, TierName};

/// A customer. Its name is its `org_id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantSpec {
    /// How far it is kept apart.
    #[schemars(with = "TierName")]
    pub tier: Tier,
    /// Where it is served.
    #[schemars(with = "Name")]
    pub data_plane: DataPlaneId,
    /// Its own rate limit; the tier's where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitSpec>,
    /// What it is given of a node's processors; what is not said is the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareSpec>,
    /// What it is given of a node's memory; what is not said is the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemorySpec>,
    /// Whose data the base of an adapter of its own may have been trained on; the tier's word where it
    /// is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bases: Option<Bases>,
    /// The models that it may call.
    #[serde(default)]
    pub models: Vec<TenantModelSpec>,
    /// Whether it is shut out, with every check still in place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
}

/// A model that a tenant may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantModelSpec {
    /// The public name, as the tenant's clients call it.
    #[schemars(with = "Name")]
    pub name: ModelName,
    /// The registry's model that answers.
    #[schemars(with = "Name")]
    pub model: ModelName,
    /// The version that answers where the client names none.
    #[schemars(with = "Name")]
    pub version: Version,
    /// Further versions that the client may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Name>")]
    pub other_versions: Vec<Version>,
}
