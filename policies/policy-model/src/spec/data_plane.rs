//! `kind: DataPlane`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenancy::{TenantId, Tier};

use super::ServingSpec;
use crate::schema::{Name, TierName};

/// A set of nodes that serve the same tenants in one region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataPlaneSpec {
    /// The region, as the contract names it, for instance `eu-central-1`.
    #[schemars(length(min = 1, max = 64))]
    pub region: String,
    /// Which tiers it serves.
    #[schemars(with = "Vec<TierName>")]
    pub tiers: Vec<Tier>,
    /// The one tenant that it is for. Required where it serves `silo`, refused elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Name>")]
    pub exclusive_to: Option<TenantId>,
    /// Where its node proxies listen.
    pub endpoints: Vec<EndpointSpec>,
    /// How its nodes serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingSpec>,
}

/// The address of one node proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointSpec {
    /// An IP address.
    pub address: std::net::IpAddr,
    /// The TCP port.
    pub port: u16,
}
