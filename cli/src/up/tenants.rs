//! The tenants to replay, as the control plane knows them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use policy_model::spec::{RateLimitSpec, TenantSpec, TierSpec};
use serde_json::Value;

use crate::server::Server;

/// A tenant with what its clients need to know.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    /// The org.
    pub(crate) id: String,
    /// Its carrier's code, by which its flights are found.
    pub(crate) carrier: String,
    /// Its tier.
    pub(crate) tier: String,
    /// Its data plane.
    pub(crate) data_plane: String,
    /// The name that its clients call.
    pub(crate) public_name: String,
    /// The registry's model that answers.
    pub(crate) model: String,
    /// The time between two requests at which its rate limit is never hit.
    pub(crate) pace: Duration,
}

/// How much of its rate limit a client uses, in percent.
const SHARE_OF_LIMIT: u32 = 90;

/// The tenants in force that have a carrier and a model, sorted by id.
pub(crate) async fn in_force(server: &Server) -> Result<Vec<Tenant>> {
    let resources = server.resources().await?;
    let of_kind = |kind: &'static str| resources.iter().filter(move |it| it["kind"] == kind);
    let mut tiers = BTreeMap::new();
    for resource in of_kind("Tier") {
        let tier: TierSpec = spec(resource)?;
        tiers.insert(name(resource), tier.rate_limit);
    }
    let mut tenants = Vec::new();
    for resource in of_kind("Tenant") {
        tenants.extend(tenant(resource, &tiers)?);
    }
    tenants.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(tenants)
}

fn tenant(resource: &Value, tiers: &BTreeMap<String, RateLimitSpec>) -> Result<Option<Tenant>> {
    let declared: TenantSpec = spec(resource)?;
    let carrier = resource["metadata"]["labels"]["carrier"].as_str();
    let (Some(carrier), Some(model)) = (carrier, declared.models.first()) else {
        return Ok(None);
    };
    let tier = declared.tier.to_string();
    let limit = declared.rate_limit.as_ref().or_else(|| tiers.get(&tier));
    let limit =
        limit.with_context(|| format!("expected a rate limit of tier {tier}, found none"))?;
    Ok(Some(Tenant {
        id: name(resource),
        carrier: carrier.to_owned(),
        data_plane: declared.data_plane.to_string(),
        public_name: model.name.to_string(),
        model: model.model.to_string(),
        pace: pace(*limit),
        tier,
    }))
}

fn pace(limit: RateLimitSpec) -> Duration {
    let interval = Duration::from_secs(limit.per_seconds.into()) / limit.requests.max(1);
    interval * 100 / SHARE_OF_LIMIT
}

fn name(resource: &Value) -> String {
    resource["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn spec<S: serde::de::DeserializeOwned>(resource: &Value) -> Result<S> {
    serde_json::from_value(resource["spec"].clone())
        .with_context(|| format!("expected a {} as the server lists it", resource["kind"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_paced_below_its_own_limit_or_else_its_tiers() {
        let tiers = [("pool".to_owned(), RateLimitSpec { requests: 90, per_seconds: 1, burst: 1 })];
        let mut resource = serde_json::json!({
            "kind": "Tenant",
            "metadata": {"name": "org_a", "labels": {"carrier": "A"}},
            "spec": {"tier": "pool", "dataPlane": "shared", "models": [{"name": "m", "model": "n", "version": "1"}]},
        });
        let of = |resource: &Value| tenant(resource, &tiers.clone().into()).unwrap().unwrap();
        let slower = Duration::from_secs(1) / 81;
        assert!(of(&resource).pace.abs_diff(slower) < Duration::from_micros(1));
        resource["spec"]["rateLimit"] =
            serde_json::json!({"requests": 9, "perSeconds": 10, "burst": 1});
        assert!(of(&resource).pace > Duration::from_secs(1));
    }
}
