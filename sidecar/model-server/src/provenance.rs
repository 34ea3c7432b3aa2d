//! Whose data a model may have seen.
//!
//! The control plane refuses a set of resources in which a bridge or silo tenant has a model that
//! saw another's data. The node checks again what it was told, and what the file says of itself:
//! an ONNX file may carry the key `trained_on` in its `metadata_props`, tenant ids with commas
//! between them, and then it has to say what the registry says.

use std::collections::{BTreeMap, BTreeSet};

use scheduler::ModelKey;
use tenancy::{Digest, ModelName, TenantId, Tier, Version};

use crate::assignments::{Assigned, Base};

/// The key of the file's own claim in `metadata_props`.
pub(crate) const METADATA_KEY: &str = "trained_on";

/// A model that this tenant's requests must not run on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProvenanceError {
    #[error(
        "expected a model trained on this tenant's data alone, as tier `{tier}` demands, found \
         one that is assigned as trained on others' too: correct the assignment"
    )]
    NotAlone { tier: Tier },
    #[error(
        "expected an adapter over a base trained on this tenant's data alone, as its policy demands, \
         found one over a base that is assigned as trained on others' too: correct the assignment"
    )]
    BaseNotAlone,
    #[error(
        "expected an adapter over the base that it is assigned over, found the package of one over \
         another: correct the assignment"
    )]
    OtherBase,
    #[error(
        "expected the model's file to say that it was trained on what the registry says, found \
         that its `{METADATA_KEY}` differs: register the file that was evaluated"
    )]
    FileDisagrees,
}

/// Checks what is assigned to a tenant of `tier`.
pub(crate) fn check_assigned(tier: Tier, assigned: &Assigned) -> Result<(), ProvenanceError> {
    let Assigned { tenant, trained_on, base, .. } = assigned;
    if matches!(tier, Tier::Bridge | Tier::Silo) && !is_of_one(tenant, trained_on) {
        return Err(ProvenanceError::NotAlone { tier });
    }
    match base {
        Some(base) if !base.may_be_shared && !is_of_one(tenant, &base.trained_on) => {
            Err(ProvenanceError::BaseNotAlone)
        }
        _ => Ok(()),
    }
}

/// Checks what a model's file says of itself, where it says anything, against whom it is registered
/// as trained on.
pub(crate) fn check_file(
    metadata: &BTreeMap<String, String>,
    trained_on: &BTreeSet<TenantId>,
) -> Result<(), ProvenanceError> {
    let Some(claimed) = metadata.get(METADATA_KEY) else { return Ok(()) };
    let claimed: BTreeSet<&str> =
        claimed.split(',').map(str::trim).filter(|org| !org.is_empty()).collect();
    let registered: BTreeSet<&str> = trained_on.iter().map(TenantId::as_str).collect();
    if claimed == registered { Ok(()) } else { Err(ProvenanceError::FileDisagrees) }
}

/// Under which name the model is kept loaded: its tenant's own, or the one that all tenants of a
/// pooled model share.
pub(crate) fn key(assigned: &Assigned) -> ModelKey {
    let Assigned { tenant, model, version, digest, trained_on, .. } = assigned;
    key_of(tenant, model, version, *digest, trained_on)
}

/// The same of what an adapter of `tenant` is made over: one that is assigned as a model, too, is kept
/// once.
pub(crate) fn base_key(tenant: &TenantId, base: &Base) -> ModelKey {
    let Base { model, version, digest, trained_on, .. } = base;
    key_of(tenant, model, version, *digest, trained_on)
}

/// The names of all that an assignment needs loaded.
pub(crate) fn keys(assigned: &Assigned) -> impl Iterator<Item = ModelKey> {
    let base = assigned.base.iter().map(|base| base_key(&assigned.tenant, base));
    std::iter::once(key(assigned)).chain(base)
}

fn key_of(
    tenant: &TenantId,
    model: &ModelName,
    version: &Version,
    digest: Digest,
    trained_on: &BTreeSet<TenantId>,
) -> ModelKey {
    let (model, version) = (model.clone(), version.clone());
    if is_of_one(tenant, trained_on) {
        ModelKey::dedicated(tenant.clone(), model, version, digest)
    } else {
        ModelKey::pooled(model, version, digest)
    }
}

fn is_of_one(tenant: &TenantId, trained_on: &BTreeSet<TenantId>) -> bool {
    trained_on.len() == 1 && trained_on.contains(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(tenant: &str, trained_on: &[&str]) -> Assigned {
        Assigned {
            tenant: tenant.parse().unwrap(),
            name: "air-time".parse().unwrap(),
            version: "1".parse().unwrap(),
            model: "air-time".parse().unwrap(),
            digest: Digest::of(b"model"),
            trained_on: trained_on.iter().map(|org| org.parse().unwrap()).collect(),
            base: None,
        }
    }

    fn over(base: &[&str], may_be_shared: bool) -> Assigned {
        let of_base = assigned("ua", base);
        let Assigned { model, version, digest, trained_on, .. } = of_base;
        let base = Base { model, version, digest, trained_on, may_be_shared };
        Assigned { digest: Digest::of(b"adapter"), base: Some(base), ..assigned("ua", &["ua"]) }
    }

    #[test]
    fn an_adapter_is_over_a_base_of_its_own_data_unless_it_may_share_one() {
        for tier in Tier::ALL {
            assert!(check_assigned(tier, &over(&["ua"], false)).is_ok());
            assert!(check_assigned(tier, &over(&["dl", "ua"], true)).is_ok());
            for base in [&["dl", "ua"][..], &["dl"]] {
                let refused = check_assigned(tier, &over(base, false));
                assert_eq!(refused, Err(ProvenanceError::BaseNotAlone));
            }
        }
    }

    #[test]
    fn a_shared_base_is_loaded_once_for_its_adapters_and_for_those_who_call_it() {
        let keys: Vec<_> = keys(&over(&["dl", "ua"], true)).collect();
        assert_eq!(keys[1], key(&assigned("dl", &["dl", "ua"])));
        assert_ne!(keys[0], keys[1]);
        let own: Vec<_> = super::keys(&over(&["ua"], false)).collect();
        assert_eq!(own[1], key(&assigned("ua", &["ua"])));
    }

    #[test]
    fn a_bridge_or_silo_tenant_runs_on_a_model_of_its_own_data_alone() {
        for tier in [Tier::Bridge, Tier::Silo] {
            assert!(check_assigned(tier, &assigned("ua", &["ua"])).is_ok());
            for trained_on in [&["ua", "dl"][..], &["dl"], &[]] {
                assert!(check_assigned(tier, &assigned("ua", trained_on)).is_err());
            }
        }
        assert!(check_assigned(Tier::Pool, &assigned("ua", &["ua", "dl"])).is_ok());
    }

    #[test]
    fn a_file_that_claims_other_data_than_the_registry_is_refused() {
        let says = |claim: &str| BTreeMap::from([(METADATA_KEY.to_owned(), claim.to_owned())]);
        let pooled = assigned("ua", &["dl", "ua"]);
        assert!(check_file(&BTreeMap::new(), &pooled.trained_on).is_ok());
        assert!(check_file(&says("ua, dl"), &pooled.trained_on).is_ok());
        for claim in ["ua", "ua,dl,aa", "", "UA,DL"] {
            assert_eq!(
                check_file(&says(claim), &pooled.trained_on),
                Err(ProvenanceError::FileDisagrees)
            );
        }
    }

    #[test]
    fn dedicated_models_share_no_key_and_pooled_ones_do() {
        assert_ne!(key(&assigned("ua", &["ua"])), key(&assigned("dl", &["dl"])));
        assert_eq!(key(&assigned("ua", &["ua", "dl"])), key(&assigned("dl", &["ua", "dl"])));
        assert_ne!(key(&assigned("ua", &["ua"])), key(&assigned("ua", &["ua", "dl"])));
    }
}
