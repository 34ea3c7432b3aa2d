//! What tenants and models are granted.

use std::collections::HashMap;

use tenancy::TenantId;

use crate::ModelKey;

/// What holds for a tenant's own models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantTerms {
    /// So many bytes of them do not go for others.
    pub floor_bytes: u64,
    /// The most that they take together, where there is a bound beside the budget.
    pub ceiling_bytes: Option<u64>,
}

/// What holds for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelTerms {
    /// Whether it stays, whoever needs room.
    pub pinned: bool,
    /// How much it is worth beside others: by the tiers of those that it answers.
    pub weight: u32,
}

impl Default for ModelTerms {
    fn default() -> Self {
        Self { pinned: false, weight: 1 }
    }
}

/// What holds for all; who is not named has the defaults.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Of tenants.
    pub tenants: HashMap<TenantId, TenantTerms>,
    /// Of models.
    pub models: HashMap<ModelKey, ModelTerms>,
}

impl Terms {
    pub(super) fn tenant(&self, tenant: &TenantId) -> TenantTerms {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    pub(super) fn model(&self, key: &ModelKey) -> ModelTerms {
        self.models.get(key).copied().unwrap_or_default()
    }
}
