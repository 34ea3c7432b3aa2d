//! The resolved set: every reference followed, every default filled in.

use std::{collections::BTreeMap, net::SocketAddr};

use tenancy::{DataPlaneId, Digest, ModelName, TenantId, Tier, Version};

use crate::spec::Algorithm;

/// What a set of resources means. Made by [`crate::compile::compile`] only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolved {
    /// The data planes.
    pub data_planes: BTreeMap<DataPlaneId, DataPlane>,
    /// The issuers, by `iss`.
    pub issuers: BTreeMap<String, Issuer>,
    /// The tenants.
    pub tenants: BTreeMap<TenantId, Tenant>,
}

/// A set of nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct DataPlane {
    /// The name.
    pub id: DataPlaneId,
    /// The region.
    pub region: String,
    /// Whom it serves.
    pub serves: Serves,
    /// Where its node proxies listen, sorted.
    pub endpoints: Vec<SocketAddr>,
}

/// Whom a data plane serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serves {
    /// Tenants of tiers that share compute.
    Shared,
    /// One silo tenant and nobody else.
    Only(TenantId),
}

/// An identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The resource's name.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Accepted audiences, sorted.
    pub audiences: Vec<String>,
    /// Accepted algorithms, sorted.
    pub algorithms: Vec<Algorithm>,
    /// The orgs that it may speak for, sorted.
    pub orgs: Vec<TenantId>,
    /// The claim that names the org.
    pub org_claim: String,
}

/// A customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// The `org_id`.
    pub id: TenantId,
    /// The tier.
    pub tier: Tier,
    /// Where it is served.
    pub data_plane: DataPlaneId,
    /// The region of its data plane.
    pub region: String,
    /// The rate limit in force.
    pub rate_limit: RateLimit,
    /// Its models, by public name.
    pub models: BTreeMap<ModelName, TenantModel>,
    /// Whether it is shut out.
    pub suspended: bool,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How long the bucket takes to regain one request, in nanoseconds. At least 1.
    pub interval_ns: u64,
    /// How many requests may pass at once. At least 1.
    pub burst: u32,
}

/// A public model name of a tenant, with what answers to it.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantModel {
    /// What answers where the client names no version.
    pub default: ModelVersion,
    /// What answers to a named version, the default among them.
    pub versions: BTreeMap<Version, ModelVersion>,
}

/// One version of a registry model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelVersion {
    /// The registry's name for the model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The artifact's digest.
    pub digest: Digest,
    /// Whose data it was trained on, sorted.
    pub trained_on: Vec<TenantId>,
}
