//! A model version that is to be given to a tenant.

use serde::Deserialize;
use tenancy::{ModelName, Version};

/// A model version that is to answer a tenant, as an operator applies it to its `Tenant`: in the
/// place of what answers under the same public name. Where it is let through, it does from then on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// The tenant's id.
    pub tenant: String,
    /// The public name, as the tenant's clients call it.
    pub name: ModelName,
    /// The registry's model.
    pub model: ModelName,
    /// Its version.
    pub version: Version,
}
