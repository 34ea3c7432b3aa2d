//! What a node is told of one model version of one tenant.

use std::{collections::BTreeSet, str::FromStr};

use policy_model::assignment::{AssignedBase, AssignedModel};
use tenancy::{Digest, ModelName, TenantId, Version};

/// A model version that may answer one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) tenant: TenantId,
    /// The public name.
    pub(crate) name: ModelName,
    pub(crate) version: Version,
    /// The registry's name.
    pub(crate) model: ModelName,
    pub(crate) digest: Digest,
    pub(crate) trained_on: BTreeSet<TenantId>,
    /// What it changes, where it is an adapter.
    pub(crate) base: Option<Base>,
}

/// The model version that an adapter is made over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// The registry's name.
    pub(crate) model: ModelName,
    pub(crate) version: Version,
    pub(crate) digest: Digest,
    pub(crate) trained_on: BTreeSet<TenantId>,
    /// Whether the tenant may run on what others' data was in.
    pub(crate) may_be_shared: bool,
}

impl Assigned {
    /// The artifacts that it needs.
    pub(crate) fn digests(&self) -> impl Iterator<Item = Digest> + use<> {
        [Some(self.digest), self.base.as_ref().map(|base| base.digest)].into_iter().flatten()
    }
}

/// What a tenant is told, where it can be meant. `shares_bases`: see [`Base::may_be_shared`].
pub(super) fn assigned(
    tenant: &TenantId,
    model: AssignedModel,
    shares_bases: bool,
) -> Result<Assigned, String> {
    let base = model.base.map(|base| self::base(base, shares_bases)).transpose()?;
    let trained_on = trained_on(&model.name, &model.trained_on)?;
    Ok(Assigned {
        tenant: tenant.clone(),
        name: named(&model.name)?,
        version: named(&model.version)?,
        model: named(&model.model)?,
        digest: named(&model.digest)?,
        trained_on,
        base,
    })
}

fn base(base: AssignedBase, may_be_shared: bool) -> Result<Base, String> {
    Ok(Base {
        model: named(&base.model)?,
        version: named(&base.version)?,
        digest: named(&base.digest)?,
        trained_on: trained_on(&base.model, &base.trained_on)?,
        may_be_shared,
    })
}

fn named<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Whose data a model was trained on. It is said of every one.
fn trained_on(model: &str, tenants: &[String]) -> Result<BTreeSet<TenantId>, String> {
    if tenants.is_empty() {
        return Err(format!(
            "expected `trained_on` of model `{model}` to name tenants, found none"
        ));
    }
    tenants.iter().map(|org| named(org)).collect()
}
