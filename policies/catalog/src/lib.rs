//! What Bulkhead ships: the tiers' defaults, as resources like any that an operator writes.
//!
//! Start with `tiers.yaml` beside this crate's manifest.

use policy_model::{
    diagnostic::Diagnostics,
    spec::{Resource, parse},
};

/// The tiers' defaults.
///
/// # Errors
/// Where the shipped file has a mistake, which a test shows it has not.
pub fn tiers() -> Result<Vec<Resource>, Diagnostics> {
    parse("catalog/tiers.yaml", include_str!("../tiers.yaml")).map_err(Diagnostics)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use policy_model::compile::compile;
    use tenancy::Tier;

    #[test]
    fn every_tier_has_a_default_and_they_compile() {
        let tiers = super::tiers().unwrap_or_default();
        let names: BTreeSet<_> = tiers.iter().map(|tier| tier.name().to_owned()).collect();
        assert_eq!(names, Tier::ALL.iter().map(ToString::to_string).collect());
        assert!(compile(&tiers).is_ok());
    }
}
