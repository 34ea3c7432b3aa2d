//! Every mistake is told with its file, its line and its mend, and all of them at once.

use expect_test::{Expect, expect};
use policy_model::{
    compile::compile,
    diagnostic::{Diagnostic, Severity},
    spec::{Resource, parse},
};
use proptest::prelude::*;

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

/// What reading `yaml` says.
fn check_parse(yaml: &str, expected: Expect) {
    let found = match parse("fleet.yaml", yaml) {
        Ok(resources) => format!("ok: {}\n", ids(&resources)),
        Err(diagnostics) => lines(&diagnostics),
    };
    expected.assert_eq(&found);
}

/// What compiling `yaml`, after [`BASE`], says.
#[allow(clippy::panic, reason = "tests fail by panicking")]
fn check(yaml: &str, expected: Expect) {
    let mut resources = match parse("base.yaml", BASE) {
        Ok(resources) => resources,
        Err(diagnostics) => panic!("{}", lines(&diagnostics)),
    };
    match parse("fleet.yaml", yaml) {
        Ok(more) => resources.extend(more),
        Err(diagnostics) => panic!("{}", lines(&diagnostics)),
    }
    let found = match compile(&resources) {
        Ok(compiled) => format!("ok\n{}", lines(&compiled.warnings)),
        Err(diagnostics) => {
            assert!(diagnostics.0.iter().any(|d| d.severity == Severity::Error));
            lines(&diagnostics.0)
        }
    };
    expected.assert_eq(&found);
}

fn ids(resources: &[Resource]) -> String {
    resources.iter().map(Resource::id).collect::<Vec<_>>().join(", ")
}

const BASE: &str = "
apiVersion: bulkhead.dev/v1
kind: Tier
metadata: { name: pool }
spec: { rateLimit: { requests: 100, burst: 200 } }
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: shared }
spec: { region: eu, tiers: [pool, bridge], endpoints: [{ address: 127.0.0.1, port: 9000 }] }
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: silo-delta }
spec: { region: us, tiers: [silo], exclusiveTo: org_dl, endpoints: [{ address: 127.0.0.2, port: 9000 }] }
---
apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: { name: idp }
spec: { issuer: https://idp.example, audiences: [api], orgs: [org_ua, org_dl, org_hi] }
---
apiVersion: bulkhead.dev/v1
kind: Model
metadata: { name: eta }
spec:
  versions:
    - version: pooled-1
      artifact: pooled.onnx
      digest: sha256:0000000000000000000000000000000000000000000000000000000000000001
      trainedOn: [org_ua, org_dl]
    - version: ua-1
      artifact: ua.onnx
      digest: sha256:0000000000000000000000000000000000000000000000000000000000000002
      trainedOn: [org_ua]
    - version: dl-1
      artifact: dl.onnx
      digest: sha256:0000000000000000000000000000000000000000000000000000000000000003
      trainedOn: [org_dl]
    - version: dl-0
      artifact: dl0.onnx
      digest: sha256:0000000000000000000000000000000000000000000000000000000000000004
      trainedOn: [org_dl]
      status: rejected
";

fn tenant(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: bulkhead.dev/v1\nkind: Tenant\nmetadata: {{ name: {name} }}\nspec: {{ {spec} }}\n"
    )
}

#[test]
fn an_unknown_field_is_refused_with_its_file_line_and_name() {
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata:
  name: org_ua
spec:
  tier: pool
  dataPlane: shared
  rateLimits: { requests: 1, burst: 1 }
",
        expect![],
    );
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata:
  name: org_ua
  namespace: default
spec: { tier: pool, dataPlane: shared }
",
        expect![],
    );
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua }
spec: { tier: pool, dataPlane: shared }
status: {}
",
        expect![],
    );
}

#[test]
fn a_value_that_does_not_fit_is_refused_where_it_stands() {
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua }
spec:
  tier: gold
  dataPlane: shared
",
        expect![],
    );
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: shared }
spec:
  region: eu
  tiers: [pool]
  endpoints: [{ address: node.example, port: 99999 }]
",
        expect![],
    );
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua }
spec:
  tier: pool
  dataPlane: ../shared
",
        expect![],
    );
}

#[test]
fn a_field_given_twice_is_refused() {
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua }
spec:
  tier: pool
  tier: silo
  dataPlane: shared
",
        expect![],
    );
}

#[test]
fn every_document_is_read_and_every_mistake_told_with_its_line_in_the_file() {
    check_parse(
        "# the fleet
apiVersion: bulkhead.dev/v1
kind: Tennant
metadata: { name: org_ua }
---
apiVersion: bulkhead.dev/v2
kind: Tenant
metadata: { name: org_ua }
---
kind: Tenant
---
apiVersion: bulkhead.dev/v1
metadata: { name: org_ua }
---
apiVersion: bulkhead.dev/v1
kind: Tier
metadata: { name: pool }
spec:
  rateLimit: { requests: many, burst: 1 }
---
apiVersion: bulkhead.dev/v1
kind: [
---
# nothing here
---
just text
",
        expect![],
    );
}

#[test]
fn empty_documents_comments_and_json_are_fine() {
    check_parse("", expect![]);
    check_parse("---\n# nothing\n---\n\n", expect![]);
    check_parse(
        r#"{"apiVersion":"bulkhead.dev/v1","kind":"Tier","metadata":{"name":"pool"},"spec":{"rateLimit":{"requests":1,"burst":1}}}"#,
        expect![],
    );
}

#[test]
fn a_sound_set_compiles() {
    check(
        &[
            tenant("org_ua", "tier: bridge, dataPlane: shared, rateLimit: { requests: 1, burst: 1 }, models: [{ name: eta, model: eta, version: ua-1 }]"),
            tenant("org_dl", "tier: silo, dataPlane: silo-delta, rateLimit: { requests: 1, burst: 1 }, models: [{ name: eta, model: eta, version: dl-1 }]"),
            tenant("org_hi", "tier: pool, dataPlane: shared, models: [{ name: eta, model: eta, version: pooled-1 }]"),
        ]
        .join("---\n"),
        expect![],
    );
}

#[test]
fn a_tenant_with_no_model_or_no_issuer_is_worth_a_warning() {
    check(&tenant("org_xx", "tier: pool, dataPlane: shared"), expect![]);
}

#[test]
fn a_name_that_is_close_to_a_known_one_is_offered() {
    check(
        &[
            tenant("org_ua", "tier: pool, dataPlane: sharde, models: [{ name: eta, model: eta, version: pooled-1 }]"),
            tenant("org_dl", "tier: pool, dataPlane: shared, models: [{ name: eta, model: etaa, version: pooled-1 }]"),
            tenant("org_hi", "tier: pool, dataPlane: shared, models: [{ name: eta, model: eta, version: pooled-2 }]"),
            tenant("org_xx", "tier: pool, dataPlane: mars"),
        ]
        .join("---\n"),
        expect![],
    );
}

#[test]
fn a_resource_given_twice_is_refused_and_both_places_are_told() {
    check(
        &[
            tenant("org_hi", "tier: pool, dataPlane: shared, models: [{ name: eta, model: eta, version: pooled-1 }]"),
            tenant("org_hi", "tier: pool, dataPlane: shared"),
        ]
        .join("---\n"),
        expect![],
    );
    check(
        "apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: { name: idp-again }
spec: { issuer: https://idp.example, audiences: [api], orgs: [org_ua] }
",
        expect![],
    );
}

#[test]
fn a_model_that_saw_a_neighbours_data_answers_no_bridge_or_silo_tenant() {
    check(
        &[
            tenant("org_ua", "tier: bridge, dataPlane: shared, rateLimit: { requests: 1, burst: 1 }, models: [{ name: eta, model: eta, version: pooled-1 }]"),
            tenant("org_dl", "tier: silo, dataPlane: silo-delta, rateLimit: { requests: 1, burst: 1 }, models: [{ name: eta, model: eta, version: dl-1, otherVersions: [ua-1] }]"),
        ]
        .join("---\n"),
        expect![],
    );
}

#[test]
fn a_version_that_failed_its_gate_is_not_served() {
    check(
        &tenant(
            "org_hi",
            "tier: pool, dataPlane: shared, models: [{ name: eta, model: eta, version: dl-0 }]",
        ),
        expect![],
    );
}

#[test]
fn a_silos_nodes_are_shared_with_nobody() {
    check(
        &[
            tenant("org_ua", "tier: silo, dataPlane: silo-delta, rateLimit: { requests: 1, burst: 1 }, models: [{ name: eta, model: eta, version: ua-1 }]"),
            tenant("org_dl", "tier: silo, dataPlane: shared, rateLimit: { requests: 1, burst: 1 }, models: [{ name: eta, model: eta, version: dl-1 }]"),
            tenant("org_hi", "tier: pool, dataPlane: silo-delta, models: [{ name: eta, model: eta, version: pooled-1 }]"),
        ]
        .join("---\n"),
        expect![],
    );
    let plane = |name: &str, spec: &str| {
        format!(
            "apiVersion: bulkhead.dev/v1\nkind: DataPlane\nmetadata: {{ name: {name} }}\nspec: {{ region: eu, endpoints: [], {spec} }}\n"
        )
    };
    check(
        &[
            plane("one", "tiers: [silo]"),
            plane("two", "tiers: [pool], exclusiveTo: org_dl"),
            plane("three", "tiers: [pool, silo]"),
            plane("four", "tiers: []"),
            plane("five", "tiers: [silo, pool], exclusiveTo: org_dl"),
        ]
        .join("---\n"),
        expect![],
    );
}

#[test]
fn limits_issuers_and_models_that_accept_nothing_or_everything_are_refused() {
    check(
        "apiVersion: bulkhead.dev/v1
kind: Tier
metadata: { name: gold }
spec: { rateLimit: { requests: 0, burst: 1 } }
---
apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: { name: clear }
spec: { issuer: http://idp.example, audiences: [], algorithms: [], orgs: [], orgClaim: '' }
---
apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: { name: almost-loopback }
spec: { issuer: http://127.0.0.1.evil.example, audiences: [api], orgs: [org_ua] }
---
apiVersion: bulkhead.dev/v1
kind: Model
metadata: { name: orphan }
spec:
  versions:
    - { version: v1, artifact: a, digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000001', trainedOn: [] }
    - { version: v1, artifact: a, digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000001', trainedOn: [org_ua] }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org/ua }
spec: { tier: bridge, dataPlane: shared }
",
        expect![],
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = parse("any.yaml", &text);
    }

    #[test]
    fn no_text_near_yaml_panics(text in "([a-z]{1,3}|: |\n|  |- |---\n|\\{|\\}|\\[|\\]|&a|\\*a|\"|'|!!|<<|\\||>|#|apiVersion|kind|Tenant|bulkhead.dev/v1){0,40}") {
        let _ = parse("any.yaml", &text);
    }

    /// The order of the resources says nothing.
    #[test]
    fn resources_mean_the_same_in_any_order(keys in prop::collection::vec(any::<u32>(), 5)) {
        let sound = parse("base.yaml", BASE).map_err(|d| TestCaseError::fail(lines(&d)))?;
        let mut shuffled: Vec<_> = keys.into_iter().zip(sound.clone()).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(_, resource)| resource).collect();
        let compiled = compile(&sound).map(|compiled| compiled.resolved).ok();
        prop_assert!(compiled.is_some());
        prop_assert_eq!(compile(&shuffled).map(|compiled| compiled.resolved).ok(), compiled);
    }
}
