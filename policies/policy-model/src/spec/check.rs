//! `kind: Check`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenancy::{DataPlaneId, TenantId, Tier};

use crate::schema::{Name, TierName};

/// A declared rule: where it holds, for whom, what must be true, and what a denial says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckSpec {
    /// What it is for, in words that an auditor reads. At most 1,024 bytes.
    #[schemars(length(min = 1, max = 1024))]
    pub description: String,
    /// Where it holds; at least one point. The expression is type-checked for each.
    #[schemars(length(min = 1))]
    pub points: Vec<Point>,
    /// Whom it holds for: what is given must all fit. Everyone, where nothing is given.
    #[serde(default, skip_serializing_if = "SelectorSpec::is_everyone")]
    pub selector: SelectorSpec,
    /// Whether it denies. `enforce` where it is not said.
    #[serde(default, skip_serializing_if = "Mode::is_enforce")]
    pub mode: Mode,
    /// A CEL expression of type bool: true is a pass, and false or an error is the denial. Which
    /// variables there are depends on the point; `variables.md` beside the schema lists them.
    #[schemars(length(min = 1, max = 4096))]
    pub expression: String,
    /// What a denial says.
    pub denial: DenialSpec,
}

/// Where a check is evaluated.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Point {
    /// At the ingress, on each request, once the token is verified and the tenant is known.
    Gate,
    /// At a node's proxy, on each request, once the passport is verified.
    Recheck,
    /// In the process that runs the model, on each request for a model, once it is known.
    Sidecar,
    /// When a tenant is given a model version: a denial refuses the change.
    Promotion,
}

impl Point {
    /// Every point, in the order in which a request meets them; promotion is no part of one.
    pub const ALL: [Self; 4] = [Self::Gate, Self::Recheck, Self::Sidecar, Self::Promotion];

    /// The point's name, as in YAML.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Recheck => "recheck",
            Self::Sidecar => "sidecar",
            Self::Promotion => "promotion",
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A point's name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of `gate`, `recheck`, `sidecar` and `promotion`, found `{0}`")]
pub struct UnknownPoint(pub String);

impl FromStr for Point {
    type Err = UnknownPoint;

    fn from_str(name: &str) -> Result<Self, UnknownPoint> {
        Self::ALL
            .into_iter()
            .find(|point| point.as_str() == name)
            .ok_or_else(|| UnknownPoint(name.chars().take(32).collect()))
    }
}

/// Whom a check holds for. It is resolved when the resources are compiled: nothing that serves
/// requests matches labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelectorSpec {
    /// Tenants of these tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<TierName>>")]
    pub tiers: Option<Vec<Tier>>,
    /// These tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Name>>")]
    pub tenants: Option<Vec<TenantId>>,
    /// Tenants of these data planes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Name>>")]
    pub data_planes: Option<Vec<DataPlaneId>>,
    /// Tenants that wear all of these labels, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl SelectorSpec {
    /// Whether it leaves nobody out.
    pub fn is_everyone(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a check denies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A request that fails it is denied.
    #[default]
    Enforce,
    /// A request that fails it passes and is counted, by check and tenant.
    Shadow,
}

impl Mode {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_enforce(&self) -> bool {
        *self == Self::Enforce
    }
}

/// What a denial says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenialSpec {
    /// The HTTP status: 400 to 499, or 503. 403 where it is not said.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 400, max = 503))]
    pub status: u16,
    /// The stable code of the problem and of the metric: small letters, digits and `_`, 3 to 64
    /// of them, a letter first, and none of the built-in codes.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{2,63}$"))]
    pub code: String,
    /// What the caller is told. `${...}` holds a CEL expression over the same variables. It must
    /// tell nothing that the caller may not know.
    pub message: String,
}

const fn forbidden() -> u16 {
    403
}
