//! `kind: Model`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenancy::{Digest, ModelName, TenantId, Version};

use crate::schema::{Name, Sha256};

/// A model of the registry, with its versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelSpec {
    /// The versions; at least one.
    pub versions: Vec<ModelVersionSpec>,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelVersionSpec {
    /// The version's name, unique within the model.
    #[schemars(with = "Name")]
    pub version: Version,
    /// The artifact's file, relative to the file that this is written in. `bulkhead apply`
    /// uploads it; the control plane knows artifacts by digest alone.
    pub artifact: String,
    /// The artifact's SHA-256.
    #[schemars(with = "Sha256")]
    pub digest: Digest,
    /// Whose data it was trained on.
    #[schemars(with = "Vec<Name>")]
    pub trained_on: Vec<TenantId>,
    /// The model version that this one changes, where its artifact is an adapter: a package that
    /// names another one by its digest and holds what differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseSpec>,
    /// How it did on held-out data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<EvaluationSpec>,
    /// Whether it may be served. `ready` where it is not said.
    #[serde(default)]
    pub status: ModelStatus,
}

/// A model version that adapters are made over. Every tenant with an adapter over it runs on its weights,
/// so whose data it was trained on has to be allowed for each of them: see `bases` of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BaseSpec {
    /// The registry's model.
    #[schemars(with = "Name")]
    pub model: ModelName,
    /// Its version, which changes no other one itself.
    #[schemars(with = "Name")]
    pub version: Version,
}

/// A model version's evaluation on rows that it was not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvaluationSpec {
    /// Rows trained on.
    pub rows_trained: u64,
    /// Held-out rows evaluated.
    pub rows_evaluated: u64,
    /// Mean absolute percentage error on them, as a fraction: 0.08 is 8 %.
    pub mape: f64,
    /// The pooled model's error on the same rows.
    pub pooled_mape: f64,
}

/// Whether a model version may be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ModelStatus {
    /// It may.
    #[default]
    Ready,
    /// It failed the promotion gate; it is kept as evidence.
    Rejected,
    /// It may no longer.
    Retired,
}

impl ModelStatus {
    /// The status's name, as in YAML.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Rejected => "rejected",
            Self::Retired => "retired",
        }
    }
}
