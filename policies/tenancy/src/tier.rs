//! The isolation tiers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How far a tenant is kept apart from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Shared compute, shared data under row-level security, the pooled model.
    Pool,
    /// Shared compute, data and model of its own.
    Bridge,
    /// Compute, data, key and model of its own, in its region.
    Silo,
}

impl Tier {
    /// Every tier, from the most shared to the most isolated.
    pub const ALL: [Self; 3] = [Self::Pool, Self::Bridge, Self::Silo];

    /// The tier's name in resources, claims and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Bridge => "bridge",
            Self::Silo => "silo",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tier's name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of `pool`, `bridge` and `silo`, found `{0}`")]
pub struct UnknownTier(pub String);

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(name: &str) -> Result<Self, UnknownTier> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.as_str() == name)
            .ok_or_else(|| UnknownTier(name.chars().take(32).collect()))
    }
}
