//! Under which name a loaded model is found.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

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
///
/// Clones share what it says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelKey {
    said: Arc<Said>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    owner: Owner,
    name: ModelName,
    version: Version,
    digest: Digest,
}

impl ModelKey {
    /// The key of a model that many tenants share. Use it only where the registry says that the
    /// model is the pooled one.
    pub fn pooled(name: ModelName, version: Version, digest: Digest) -> Self {
        Self::of(Owner::Pool, name, version, digest)
    }

    /// The key of a model that is `tenant`'s alone. `tenant` must be the one that the passport
    /// names.
    pub fn dedicated(tenant: TenantId, name: ModelName, version: Version, digest: Digest) -> Self {
        Self::of(Owner::Tenant(tenant), name, version, digest)
    }

    fn of(owner: Owner, name: ModelName, version: Version, digest: Digest) -> Self {
        Self { said: Arc::new(Said { owner, name, version, digest }) }
    }

    /// Whose model it is.
    pub fn owner(&self) -> &Owner {
        &self.said.owner
    }

    /// The model's name.
    pub fn name(&self) -> &ModelName {
        &self.said.name
    }

    /// The model's version.
    pub fn version(&self) -> &Version {
        &self.said.version
    }

    /// The digest of the model's file.
    pub fn digest(&self) -> &Digest {
        &self.said.digest
    }
}

/// By the digest alone, which few keys have in common.
impl Hash for ModelKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.said.digest.hash(state);
    }
}

impl fmt::Debug for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelKey({self})")
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { owner, name, version, digest } = &*self.said;
        match owner {
            Owner::Pool => write!(f, "pooled ")?,
            Owner::Tenant(tenant) => write!(f, "{tenant} ")?,
        }
        write!(f, "{name}@{version} ({})", digest.short())
    }
}
