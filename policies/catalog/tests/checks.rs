//! Each check that ships, evaluated by itself: what it lets through and what it denies.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeSet, fs};

use expression::{Budget, Value, Variables};
use policy_model::{compile::compile, resolved::Resolved, spec::parse};
use serde_json::{Value as Json, json};

/// 2026-03-01T12:00:00Z.
const NOON: i64 = 1_772_366_400;

/// A tenant of each tier, with all checks that ship.
fn resolved() -> Resolved {
    let mut resources = parse("base.yaml", BASE).unwrap();
    resources.extend(catalog::tiers().unwrap());
    resources.extend(catalog::shipped().iter().map(|check| check.resource().unwrap()));
    compile(&resources).map_err(|mistakes| mistakes.to_string()).unwrap().resolved
}

const BASE: &str = "
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: shared }
spec: { region: eu, tiers: [pool, bridge], endpoints: [] }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua }
spec: { tier: pool, dataPlane: shared }
";

/// Variables by their paths. A number under a name of a time is Unix seconds.
struct Given(Json);

impl Variables for Given {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        let value = self.0.get(path)?;
        let is_time = ["now", "token.issued_at", "token.expires_at"].contains(&path);
        match value.as_i64() {
            Some(seconds) if is_time => Some(Value::unix_seconds(seconds)),
            _ => Some(Value::from(value)),
        }
    }
}

/// A request that nothing is wrong with, of a pool tenant on a shared data plane.
fn honest() -> Json {
    json!({
        "now": NOON,
        "request.method": "POST",
        "request.path": "/v2/models/eta/infer",
        "request.content_length": 100,
        "claims": { "aud": "api", "org_id": "org_ua" },
        "token.issuer": "https://idp.example",
        "token.algorithm": "ES256",
        "token.issued_at": NOON - 60,
        "tenant.id": "org_ua",
        "tenant.tier": "pool",
        "tenant.labels": {},
        "data_plane.id": "shared",
        "data_plane.region": "eu",
        "data_plane.labels": {},
        "data_plane.exclusive_to": "",
        "model.name": "eta",
        "model.public_name": "eta",
        "model.version": "1",
        "model.trained_on": ["org_dl", "org_ua"],
    })
}

/// `honest`, with other values; `null` leaves one out.
fn with(changes: Json) -> Given {
    let mut given = honest();
    for (path, value) in changes.as_object().unwrap().clone() {
        match value {
            Json::Null => given.as_object_mut().unwrap().remove(&path),
            value => given.as_object_mut().unwrap().insert(path, value),
        };
    }
    Given(given)
}

/// What the check says of `given`, at each of its points, which must agree.
fn verdict(name: &str, given: &Given) -> Result<(), String> {
    let resolved = resolved();
    let check = resolved.checks.get(name).unwrap_or_else(|| panic!("{name} does not ship"));
    let verdicts: BTreeSet<Result<(), String>> = check
        .rules
        .values()
        .map(|rule| match rule.program.evaluate_bool(given, &mut Budget::default()) {
            Ok(true) => Ok(()),
            _ => Err(rule.message.render(given, &mut Budget::default())),
        })
        .collect();
    assert_eq!(verdicts.len(), 1, "{name}: {verdicts:?}");
    verdicts.into_iter().next().unwrap()
}

fn lets_through(name: &str, changes: Json) {
    let words = changes.to_string();
    assert_eq!(verdict(name, &with(changes)), Ok(()), "{name} of {words}");
}

fn denies(name: &str, changes: Json, message: &str) {
    let words = changes.to_string();
    let found = verdict(name, &with(changes)).expect_err(&words);
    assert!(found.contains(message), "{name} of {words}: {found}");
}

#[test]
fn a_token_is_signed_as_policy_asks() {
    lets_through("algorithm-allow-list", json!({}));
    lets_through("algorithm-allow-list", json!({"token.algorithm": "ES384"}));
    denies("algorithm-allow-list", json!({"token.algorithm": "RS256"}), "found RS256");
    denies("algorithm-allow-list", json!({"token.algorithm": null}), "ES384");
}

#[test]
fn a_token_is_for_this_api_alone() {
    lets_through("audience", json!({}));
    lets_through("audience", json!({"claims": {"aud": ["api"]}}));
    denies("audience", json!({"claims": {"aud": ["api", "other"]}}), "several audiences");
    denies("audience", json!({"claims": {"aud": []}}), "several audiences");
    denies("audience", json!({"claims": {}}), "several audiences");
}

#[test]
fn a_body_is_no_larger_than_its_tier_allows() {
    let name = "body-size-by-tier";
    for (tier, most) in [("pool", 1 << 20), ("bridge", 8 << 20), ("silo", 64 << 20)] {
        lets_through(name, json!({"tenant.tier": tier, "request.content_length": most}));
        let more = json!({"tenant.tier": tier, "request.content_length": most + 1});
        denies(name, more, tier);
    }
    denies(name, json!({"request.content_length": -1}), "not said");
    lets_through(name, json!({"request.content_length": -1, "request.method": "GET"}));
}

#[test]
fn others_act_for_a_tenant_only_in_its_window() {
    let name = "break-glass-window";
    let acting = json!({"aud": "api", "act": {"sub": "support"}});
    let until = |at: &str| json!({"claims": acting, "tenant.labels": {"break-glass-until": at}});
    lets_through(name, json!({}));
    denies(name, json!({"claims": acting}), "org_ua");
    lets_through(name, until("2026-03-01T12:00:01Z"));
    denies(name, until("2026-03-01T12:00:00Z"), "window");
    // A time that is none opens nothing.
    denies(name, until("tomorrow"), "window");
}

#[test]
fn a_dedicated_model_has_shown_that_it_is_better() {
    let name = "dedicated-model-beats-pooled";
    let shown = |own: f64, pooled: f64| {
        json!({
            "tenant.tier": "bridge",
            "model.evaluation.mape": own,
            "model.evaluation.pooled_mape": pooled,
        })
    };
    lets_through(name, json!({}));
    lets_through(name, shown(0.05, 0.06));
    denies(name, shown(0.06, 0.06), "insufficient data");
    denies(name, json!({"tenant.tier": "bridge"}), "insufficient data");
}

#[test]
fn a_tenant_is_spoken_for_by_the_issuer_that_it_names() {
    let name = "issuer-bound-to-org";
    let labelled = |issuer: &str| json!({"tenant.labels": {"issuer": issuer}});
    lets_through(name, json!({}));
    lets_through(name, labelled("https://idp.example"));
    denies(name, labelled("https://idp.example/"), "another");
}

#[test]
fn a_frozen_data_plane_is_given_no_predictions() {
    let name = "maintenance-freeze";
    let frozen = |from: &str, until: &str| json!({"data_plane.labels": {"freeze-from": from, "freeze-until": until}});
    lets_through(name, json!({}));
    lets_through(name, frozen("2026-03-01T12:00:01Z", "2026-03-01T13:00:00Z"));
    denies(name, frozen("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"), "until 2026-03-01T13");
    lets_through(name, frozen("2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"));
    denies(name, json!({"data_plane.labels": {"freeze-from": "2026-03-01T12:00:00Z"}}), "shared");
    let mut reading = frozen("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z");
    reading["request.method"] = "GET".into();
    lets_through(name, reading);
}

#[test]
fn a_method_is_one_that_the_tier_has_a_use_for() {
    let name = "methods-by-tier";
    for method in ["GET", "HEAD", "POST"] {
        lets_through(name, json!({"request.method": method}));
    }
    denies(name, json!({"request.method": "OPTIONS"}), "found OPTIONS");
    lets_through(name, json!({"request.method": "OPTIONS", "tenant.tier": "silo"}));
    denies(name, json!({"request.method": "DELETE", "tenant.tier": "silo"}), "silo");
    denies(name, json!({"request.method": "post"}), "found post");
}

#[test]
fn a_dedicated_model_saw_its_tenants_data_alone() {
    let name = "model-provenance";
    lets_through(name, json!({}));
    for tier in ["bridge", "silo"] {
        denies(name, json!({"tenant.tier": tier}), "data of others");
        lets_through(name, json!({"tenant.tier": tier, "model.trained_on": ["org_ua"]}));
        denies(name, json!({"tenant.tier": tier, "model.trained_on": ["org_dl"]}), "org_ua");
        denies(name, json!({"tenant.tier": tier, "model.trained_on": []}), "org_ua");
    }
}

#[test]
fn a_path_names_the_tokens_tenant_or_none() {
    let name = "path-tenant-equals-claim";
    let path = |path: &str| json!({"request.path": path});
    lets_through(name, json!({}));
    lets_through(name, path("/tenants/org_ua/v2/models"));
    lets_through(name, path("/tenants/org_ua"));
    for other in ["/tenants/org_dl", "/tenants/", "/tenants//org_ua", "/TENANTS/org_dl/x"] {
        denies(name, path(other), "org_ua");
    }
}

#[test]
fn a_tenant_is_served_in_its_region() {
    let name = "region-residency";
    lets_through(name, json!({}));
    lets_through(name, json!({"tenant.labels": {"region": "eu"}}));
    denies(name, json!({"tenant.labels": {"region": "us"}}), "served in us, found eu");
}

#[test]
fn a_silo_serves_its_own_tenant() {
    let name = "silo-exclusivity";
    lets_through(name, json!({}));
    lets_through(name, json!({"data_plane.exclusive_to": "org_ua"}));
    denies(name, json!({"data_plane.exclusive_to": "org_dl"}), "open to this tenant");
}

#[test]
fn a_tier_is_on_a_data_plane_that_is_meant_for_it() {
    let name = "tier-matches-data-plane";
    lets_through(name, json!({}));
    lets_through(name, json!({"tenant.tier": "silo", "data_plane.exclusive_to": "org_ua"}));
    denies(name, json!({"tenant.tier": "silo"}), "tier silo");
    denies(name, json!({"data_plane.exclusive_to": "org_ua"}), "tier pool");
    denies(name, json!({"tenant.tier": "silo", "data_plane.exclusive_to": "org_dl"}), "silo");
}

#[test]
fn a_token_is_an_hour_old_at_most() {
    let name = "token-age";
    lets_through(name, json!({"token.issued_at": NOON - 3600}));
    denies(name, json!({"token.issued_at": NOON - 3601}), "at most an hour");
    denies(name, json!({"token.issued_at": null}), "org_ua");
}

/// A check that nothing here denies with has not been tried.
#[test]
fn every_check_that_ships_is_in_this_file_and_every_file_ships() {
    let tests = include_str!("checks.rs");
    let shipped: BTreeSet<&str> = catalog::checks().into_iter().map(|(name, _)| name).collect();
    for name in &shipped {
        assert!(tests.contains(&format!("\"{name}\"")), "{name} is not tried");
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/checks");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected: BTreeSet<String> = catalog::shipped()
        .iter()
        .flat_map(|check| {
            ["yaml", "scenario.yaml"].map(|ending| format!("{}.{ending}", check.name))
        })
        .collect();
    assert_eq!(files, expected);
}

/// That the scenario holds, over the filters as over Envoy, is the end-to-end suite's to show.
#[test]
fn each_check_that_ships_has_a_scenario_beside_it_that_puts_it_in_force() {
    assert_eq!(resolved().checks.len(), 14);
    for (check, shipped) in resolved().checks.values().zip(catalog::shipped()) {
        assert_eq!(check.name.as_str(), shipped.name);
        let given = format!("- check: {}", shipped.name);
        assert!(shipped.scenario.lines().any(|line| line.trim() == given), "{}", shipped.name);
    }
}
