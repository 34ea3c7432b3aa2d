//! Under which name a loaded model is found.

use std::fmt;

use tenancy::{Digest, ModelName, TenantId, Version};

/// Whose model it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// Every tenant that is assigned the pooled model.
    Pool,
    /// One tenant alone.
    Tenant(TenantId),
}

/// The name of a loaded model.
///
/// The owner is part of it. All tenants of a pooled model make the same key, so it is loaded once
/// however many they are. A dedicated model's key names its tenant, so no key that is made for
/// another tenant finds it, even where a name, a version and a digest are equal: two tenants whose
/// dedicated files are the same to the byte still get two loaded models, which costs memory and
/// shares nothing.
///
/// The digest is part of it too: a version that is registered again with other bytes is another
/// model, and the old one serves nobody from the moment the assignment changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelKey {
    owner: Owner,
    name: ModelName,
    version: Version,
    digest: Digest,
}

impl ModelKey {
    /// The key of a model that many tenants share. Use it only where the registry says that the
    /// model is the pooled one.
    pub const fn pooled(name: ModelName, version: Version, digest: Digest) -> Self {
        Self { owner: Owner::Pool, name, version, digest }
    }

    /// The key of a model that is `tenant`'s alone. `tenant` must be the one that the passport
    /// names.
    pub const fn dedicated(
        tenant: TenantId,
        name: ModelName,
        version: Version,
        digest: Digest,
    ) -> Self {
        Self { owner: Owner::Tenant(tenant), name, version, digest }
    }

    /// Whose model it is.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The model's name.
    pub const fn name(&self) -> &ModelName {
        &self.name
    }

    /// The model's version.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The digest of the model's file.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Owner::Pool => write!(f, "pooled ")?,
            Owner::Tenant(tenant) => write!(f, "{tenant} ")?,
        }
        write!(f, "{}@{} ({})", self.name, self.version, self.digest.short())
    }
}
