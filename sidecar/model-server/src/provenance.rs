//! Whose data a model may have seen.
//!
//! The control plane refuses a set of resources in which a bridge or silo tenant has a model that
//! saw another's data. The node checks again what it was told, and what the file says of itself:
//! an ONNX file may carry the key `trained_on` in its `metadata_props`, tenant ids with commas
//! between them, and then it has to say what the registry says.

use std::collections::{BTreeMap, BTreeSet};

use scheduler::ModelKey;
use tenancy::{TenantId, Tier};

use crate::assignments::Assigned;

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
        "expected the model's file to say that it was trained on what the registry says, found \
         that its `{METADATA_KEY}` differs: register the file that was evaluated"
    )]
    FileDisagrees,
}

/// Checks what is assigned to a tenant of `tier`.
pub(crate) fn check_assigned(tier: Tier, assigned: &Assigned) -> Result<(), ProvenanceError> {
    match tier {
        Tier::Bridge | Tier::Silo if !is_dedicated(assigned) => {
            Err(ProvenanceError::NotAlone { tier })
        }
        _ => Ok(()),
    }
}

/// Checks what a model's file says of itself, where it says anything.
pub(crate) fn check_file(
    metadata: &BTreeMap<String, String>,
    assigned: &Assigned,
) -> Result<(), ProvenanceError> {
    let Some(claimed) = metadata.get(METADATA_KEY) else { return Ok(()) };
    let claimed: BTreeSet<&str> =
        claimed.split(',').map(str::trim).filter(|org| !org.is_empty()).collect();
    let registered: BTreeSet<&str> = assigned.trained_on.iter().map(TenantId::as_str).collect();
    if claimed == registered { Ok(()) } else { Err(ProvenanceError::FileDisagrees) }
}

/// Under which name the model is kept loaded: its tenant's own, or the one that all tenants of a
/// pooled model share.
pub(crate) fn key(assigned: &Assigned) -> ModelKey {
    let (model, version) = (assigned.model.clone(), assigned.version.clone());
    if is_dedicated(assigned) {
        ModelKey::dedicated(assigned.tenant.clone(), model, version, assigned.digest)
    } else {
        ModelKey::pooled(model, version, assigned.digest)
    }
}

fn is_dedicated(assigned: &Assigned) -> bool {
    assigned.trained_on.len() == 1 && assigned.trained_on.contains(&assigned.tenant)
}

#[cfg(test)]
mod tests {
    use tenancy::Digest;

    use super::*;

    fn assigned(tenant: &str, trained_on: &[&str]) -> Assigned {
        Assigned {
            tenant: tenant.parse().unwrap(),
            name: "air-time".parse().unwrap(),
            version: "1".parse().unwrap(),
            model: "air-time".parse().unwrap(),
            digest: Digest::of(b"model"),
            trained_on: trained_on.iter().map(|org| org.parse().unwrap()).collect(),
        }
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
        assert!(check_file(&BTreeMap::new(), &pooled).is_ok());
        assert!(check_file(&says("ua, dl"), &pooled).is_ok());
        for claim in ["ua", "ua,dl,aa", "", "UA,DL"] {
            assert_eq!(check_file(&says(claim), &pooled), Err(ProvenanceError::FileDisagrees));
        }
    }

    #[test]
    fn dedicated_models_share_no_key_and_pooled_ones_do() {
        assert_ne!(key(&assigned("ua", &["ua"])), key(&assigned("dl", &["dl"])));
        assert_eq!(key(&assigned("ua", &["ua", "dl"])), key(&assigned("dl", &["ua", "dl"])));
        assert_ne!(key(&assigned("ua", &["ua"])), key(&assigned("ua", &["ua", "dl"])));
    }
}
