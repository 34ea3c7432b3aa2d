//! What Bulkhead ships: the tiers' defaults and checks, as resources like any that an operator
//! writes.
//!
//! The tiers are there from the start. The checks are an operator's to choose: a file of `checks/`
//! is applied as it is, or copied and changed. Beside each lies a scenario that shows what it refuses.
//!
//! The crate knows no registry and applies nothing. Start with `tiers.yaml` and `checks/` beside
//! its manifest.

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

/// A check that ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// The resource, as YAML.
    pub yaml: &'static str,
    /// The scenario that shows it.
    pub scenario: &'static str,
}

impl Shipped {
    /// The check as a resource.
    ///
    /// # Errors
    /// Where the shipped file has a mistake, which a test shows it has not.
    pub fn resource(&self) -> Result<Resource, Diagnostics> {
        let file = format!("catalog/checks/{}.yaml", self.name);
        let mut resources = parse(&file, self.yaml).map_err(Diagnostics)?;
        resources.pop().ok_or_else(|| Diagnostics(Vec::new()))
    }
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        const SHIPPED: &[Shipped] = &[$(Shipped {
            name: $name,
            yaml: include_str!(concat!("../checks/", $name, ".yaml")),
            scenario: include_str!(concat!("../checks/", $name, ".scenario.yaml")),
        },)*];
    };
}

shipped! {
    "algorithm-allow-list",
    "audience",
    "body-size-by-tier",
    "break-glass-window",
    "dedicated-model-beats-pooled",
    "issuer-bound-to-org",
    "maintenance-freeze",
    "methods-by-tier",
    "model-provenance",
    "path-tenant-equals-claim",
    "region-residency",
    "silo-exclusivity",
    "tier-matches-data-plane",
    "token-age",
}

/// The checks that ship, by name.
pub fn shipped() -> &'static [Shipped] {
    SHIPPED
}

/// The checks that ship, as names and YAML.
pub fn checks() -> Vec<(&'static str, &'static str)> {
    SHIPPED.iter().map(|check| (check.name, check.yaml)).collect()
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
