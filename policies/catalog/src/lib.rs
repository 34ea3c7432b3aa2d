//! What Bulkhead ships: the tiers' defaults and checks, as resources like any that an operator
//! writes.
//!
//! The tiers are there from the start. The checks are an operator's to choose: a file of `checks/`
//! is applied as it is, or copied and changed. Beside most of them lies a scenario that shows what
//! it refuses; the others hold where no request comes by.
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
    /// A scenario that shows it, where it holds on a request's way.
    pub scenario: Option<&'static str>,
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
    ($($name:literal $(with $scenario:literal)?),* $(,)?) => {
        const SHIPPED: &[Shipped] = &[$(Shipped {
            name: $name,
            yaml: include_str!(concat!("../checks/", $name, ".yaml")),
            scenario: shipped!(@ $($scenario)?),
        },)*];
    };
    (@) => { None };
    (@ $scenario:literal) => { Some(include_str!(concat!("../checks/", $scenario))) };
}

shipped! {
    "algorithm-allow-list" with "algorithm-allow-list.scenario.yaml",
    "audience" with "audience.scenario.yaml",
    "body-size-by-tier" with "body-size-by-tier.scenario.yaml",
    "break-glass-window" with "break-glass-window.scenario.yaml",
    "dedicated-model-beats-pooled",
    "issuer-bound-to-org" with "issuer-bound-to-org.scenario.yaml",
    "maintenance-freeze" with "maintenance-freeze.scenario.yaml",
    "methods-by-tier" with "methods-by-tier.scenario.yaml",
    "model-provenance",
    "path-tenant-equals-claim" with "path-tenant-equals-claim.scenario.yaml",
    "region-residency" with "region-residency.scenario.yaml",
    "silo-exclusivity" with "silo-exclusivity.scenario.yaml",
    "tier-matches-data-plane" with "tier-matches-data-plane.scenario.yaml",
    "token-age" with "token-age.scenario.yaml",
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
