//! `kind: Tier`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MemorySpec, ShareSpec};

/// What a tier gives a tenant that says nothing else. Its name is `pool`, `bridge` or `silo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TierSpec {
    /// The rate limit of each tenant of the tier.
    pub rate_limit: RateLimitSpec,
    /// What each tenant of the tier is given of a node's processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareSpec>,
    /// What each tenant of the tier is given of a node's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemorySpec>,
    /// Whose data the base of an adapter of a tenant of the tier may have been trained on. `shared` for
    /// `pool` where it is not said, `own` for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bases: Option<Bases>,
}

/// Whose data the base of a tenant's adapter may have been trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Bases {
    /// The tenant's own alone.
    Own,
    /// Other tenants' too.
    Shared,
}

/// A token bucket: `burst` requests at once, refilled at `requests` every `perSeconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimitSpec {
    /// How many requests the bucket regains in `perSeconds`. At least 1.
    #[schemars(range(min = 1))]
    pub requests: u32,
    /// In how many seconds. At least 1; 1 where it is not said.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1))]
    pub per_seconds: u32,
    /// How many requests may pass at once. At least 1. Under 64 that is exact over all workers of a
    /// proxy; from 64 on each worker but one may let through a 64th of it more.
    #[schemars(range(min = 1))]
    pub burst: u32,
}

const fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_one(n: &u32) -> bool {
    *n == 1
}
