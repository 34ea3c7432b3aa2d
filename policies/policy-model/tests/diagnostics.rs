//! Every mistake is told with its file, its line and its mend, and all of them at once.

use expect_test::{Expect, expect};
use policy_model::{
    compile::compile,
    diagnostic::{Diagnostic, Severity},
    spec::{Resource, parse},
    table::GateRows,
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

#[test]
fn shares_memory_and_serving_that_cannot_be_meant() {
    check(
        "
apiVersion: bulkhead.dev/v1
kind: Tier
metadata: { name: bridge }
spec:
  rateLimit: { requests: 1, burst: 1 }
  share: { weight: 0 }
  memory: { floorBytes: 2, ceilingBytes: 1, device: { floorBytes: 4, ceilingBytes: 3 } }
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: other }
spec:
  region: eu
  tiers: [pool]
  endpoints: []
  serving: { maxBatchRows: 0, batchWaitMicros: 1000001 }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_hi }
spec:
  tier: pool
  dataPlane: shared
  models: [{ name: eta, model: eta, version: pooled-1 }]
  share: { concurrency: 0, waiting: 0 }
",
        expect![[r#"
            fleet.yaml:7:20: error: Tier/bridge: expected a weight of 1 to 10000
            fleet.yaml:8:11: error: Tier/bridge: expected a ceilingBytes of at least floorBytes, found 1 below 2
            fleet.yaml:8:53: error: Tier/bridge: expected a ceilingBytes of at least floorBytes, found 3 below 4
            fleet.yaml:17:28: error: DataPlane/other: expected maxBatchRows of at least 1, which joins no requests
            fleet.yaml:17:48: error: DataPlane/other: expected batchWaitMicros of at most 1000000
            fleet.yaml:26:25: error: Tenant/org_hi: expected concurrency of at least 1; to shut a tenant out, say `suspended: true`
            fleet.yaml:26:37: error: Tenant/org_hi: expected waiting of at least 1; to shut a tenant out, say `suspended: true`
        "#]],
    );
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

const CHECK: &str = "
apiVersion: bulkhead.dev/v1
kind: Check
metadata: { name: of-this-base, labels: { a: b } }
spec:
  description: For mistakes to be made in.
  points: [gate, recheck]
  selector: { tiers: [pool, bridge, silo] }
  mode: shadow
  expression: |
    tenant.id != ''
      && request.headers['a'] == 'b'
  denial: { status: 403, code: not_so, message: \"of ${tenant.id}\" }
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
        expect![[r#"
            fleet.yaml:8:3: error: expected a field of tier, dataPlane, rateLimit, share, memory, bases, models, suspended, found `rateLimits`; did you mean `rateLimit`?
        "#]],
    );
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata:
  name: org_ua
  namespace: default
spec: { tier: pool, dataPlane: shared }
",
        expect![[r#"
            fleet.yaml:5:3: error: expected a field of name, labels, annotations, found `namespace`; did you mean `name`?
        "#]],
    );
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua }
spec: { tier: pool, dataPlane: shared }
status: {}
",
        expect![[r#"
            fleet.yaml:5:1: error: expected a field of apiVersion, kind, metadata, spec, found `status`
        "#]],
    );
}

#[test]
fn every_unknown_field_of_a_document_is_told_at_once() {
    check_parse(
        "# one
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua, lables: { ä: b } }
spec:
  tier: gold
  dataPlane: shared
  rateLimit: { request: 1, burst: 1 }
  models:
    - name: eta
      model: eta
      verzion: pooled-1
  suspendet:
",
        expect![[r#"
            fleet.yaml:5:27: error: expected a field of name, labels, annotations, found `lables`; did you mean `labels`?
            fleet.yaml:9:16: error: expected a field of burst, perSeconds, requests, found `request`; did you mean `requests`?
            fleet.yaml:13:7: error: expected a field of model, name, otherVersions, version, found `verzion`; did you mean `version`?
            fleet.yaml:14:3: error: expected a field of bases, dataPlane, memory, models, rateLimit, share, suspended, tier, found `suspendet`; did you mean `suspended`?
        "#]],
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
        expect![[r#"
            fleet.yaml:5:9: error: expected one of pool, bridge, silo, found `gold`
        "#]],
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
        expect![[r#"
            fleet.yaml:7:26: error: invalid IP address syntax
        "#]],
    );
    check_parse(
        "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua }
spec:
  tier: pool
  dataPlane: ../shared
",
        expect![[r#"
            fleet.yaml:6:14: error: expected a data plane name of 1 to 64 characters, starting with a letter or digit, of letters, digits, '-', '_' and '.', found `../shared`
        "#]],
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
        expect![[r#"
            fleet.yaml:6:3: error: expected each field once, found `tier` again; remove one
        "#]],
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
        expect![[r#"
            fleet.yaml:2:1: error: expected a kind of Tier, DataPlane, Issuer, Model, Tenant, Check, found `Tennant`; did you mean `Tenant`?
            fleet.yaml:6:1: error: expected apiVersion `bulkhead.dev/v1`, found `bulkhead.dev/v2`
            fleet.yaml:10:1: error: expected a field `apiVersion: bulkhead.dev/v1`
            fleet.yaml:12:1: error: expected a field `kind`, one of Tier, DataPlane, Issuer, Model, Tenant, Check
            fleet.yaml:19:26: error: invalid u32
            fleet.yaml:22:7: error: expected string scalar
            fleet.yaml:26:1: error: expected mapping start
        "#]],
    );
}

#[test]
fn empty_documents_comments_and_json_are_fine() {
    check_parse(
        "",
        expect![[r#"
        ok: 
    "#]],
    );
    check_parse(
        "---\n# nothing\n---\n\n",
        expect![[r#"
        ok: 
    "#]],
    );
    check_parse(
        r#"{"apiVersion":"bulkhead.dev/v1","kind":"Tier","metadata":{"name":"pool"},"spec":{"rateLimit":{"requests":1,"burst":1}}}"#,
        expect![[r#"
            ok: Tier/pool
        "#]],
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
        expect![[r#"
            ok
        "#]],
    );
}

#[test]
fn a_tenant_with_no_model_or_no_issuer_is_worth_a_warning() {
    check(
        &tenant("org_xx", "tier: pool, dataPlane: shared"),
        expect![[r#"
            ok
            fleet.yaml:3:19: warning: Tenant/org_xx: no issuer speaks for it, so nobody can sign in; name it in the `orgs` of an Issuer
            fleet.yaml:4:7: warning: Tenant/org_xx: has no models: every prediction will be answered with unknown_model
        "#]],
    );
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
        expect![[r#"
            fleet.yaml:4:32: error: Tenant/org_ua: expected dataPlane to name a DataPlane, found `sharde`; did you mean `shared`?
            fleet.yaml:9:69: error: Tenant/org_dl: expected models[eta].model to name a Model, found `etaa`; did you mean `eta`?
            fleet.yaml:14:83: error: Tenant/org_hi: expected a version of Model/eta, found `pooled-2`; did you mean `pooled-1`?
            fleet.yaml:19:32: error: Tenant/org_xx: expected dataPlane to name a DataPlane, found `mars`; there is: shared, silo-delta
            fleet.yaml:18:19: warning: Tenant/org_xx: no issuer speaks for it, so nobody can sign in; name it in the `orgs` of an Issuer
        "#]],
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
        expect![[r#"
            fleet.yaml:8:19: error: Tenant/org_hi: expected one resource of this name, found another at fleet.yaml:1:1; rename or remove one
        "#]],
    );
    check(
        "apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: { name: idp-again }
spec: { issuer: https://idp.example, audiences: [api], orgs: [org_ua] }
",
        expect![[r#"
            fleet.yaml:4:17: error: Issuer/idp-again: expected one resource for issuer `https://idp.example`, found also Issuer/idp; merge them
        "#]],
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
        expect![[r#"
            fleet.yaml:4:123: error: Tenant/org_ua: expected a model trained on `org_ua` alone, as tier `bridge` demands, found Model/eta version `pooled-1`, which was trained on `org_dl` too
            fleet.yaml:9:147: error: Tenant/org_dl: expected a model trained on `org_dl` alone, as tier `silo` demands, found Model/eta version `ua-1`, which was trained on `org_ua` too
        "#]],
    );
}

#[test]
fn an_adapters_base_is_there_and_allowed_for_whoever_runs_on_it() {
    let model = |name: &str, base: &str, trained_on: &str| {
        format!(
            "apiVersion: bulkhead.dev/v1\nkind: Model\nmetadata: {{ name: {name} }}\nspec: {{ versions: [{{ version: v, artifact: a.bha, digest: sha256:0000000000000000000000000000000000000000000000000000000000000009, trainedOn: [{trained_on}], base: {{ {base} }} }}] }}\n"
        )
    };
    let bridge = |more: &str| {
        tenant(
            "org_ua",
            &format!(
                "tier: bridge, dataPlane: shared, rateLimit: {{ requests: 1, burst: 1 }}, {more}models: [{{ name: eta, model: ua, version: v }}]"
            ),
        )
    };
    let over_pooled = model("ua", "model: eta, version: pooled-1", "org_ua");
    check(
        &[over_pooled.clone(), bridge("")].join("---\n"),
        expect![[r#"
            fleet.yaml:9:122: error: Tenant/org_ua: expected an adapter over a base trained on `org_ua` alone, found Model/ua version `v` over Model/eta version `pooled-1`, which was trained on `org_dl` too; say `bases: shared` of the tenant or its tier where that is meant
        "#]],
    );
    for bases in ["bases: shared, ", "bases: own, "] {
        let over_own = model("ua", "model: eta, version: ua-1", "org_ua");
        check(
            &[over_own, bridge(bases)].join("---\n"),
            expect![[r#"
                ok
            "#]],
        );
    }
    let tier = "apiVersion: bulkhead.dev/v1\nkind: Tier\nmetadata: { name: bridge }\nspec: { rateLimit: { requests: 1, burst: 1 }, bases: shared }\n".to_owned();
    check(
        &[tier, over_pooled, bridge("")].join("---\n"),
        expect![[r#"
            ok
        "#]],
    );
    check(
        &[
            model("one", "model: etta, version: v", "org_ua"),
            model("two", "model: eta, version: v", "org_ua"),
            model("three", "model: one, version: v", "org_ua"),
            model("four", "model: eta, version: dl-0", "org_ua"),
        ]
        .join("---\n"),
        expect![[r#"
            fleet.yaml:4:168: error: Model/one: expected base.model to name a Model, found `etta`; did you mean `eta`?
            fleet.yaml:9:182: error: Model/two: expected a version of Model/eta, found `v`; there is: pooled-1, ua-1, dl-1, dl-0
            fleet.yaml:14:182: error: Model/three: expected a base that stands for itself, found Model/one version `v`, which changes another one; make the adapter over that
            fleet.yaml:19:182: error: Model/four: expected a base that is ready, found Model/eta version `dl-0`, which is rejected; make the adapter over another
        "#]],
    );
}

#[test]
fn a_version_that_failed_its_gate_is_not_served() {
    check(
        &tenant(
            "org_hi",
            "tier: pool, dataPlane: shared, models: [{ name: eta, model: eta, version: dl-0 }]",
        ),
        expect![[r#"
            fleet.yaml:4:83: error: Tenant/org_hi: expected a version that is ready, found Model/eta version `dl-0`, which is rejected; pin another
        "#]],
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
        expect![[r#"
            fleet.yaml:4:32: error: Tenant/org_ua: expected a data plane open to this tenant, found `silo-delta`, which is exclusive to `org_dl`
            fleet.yaml:9:32: error: Tenant/org_dl: expected a data plane that serves tier `silo`, found `shared`, which does not; move the tenant or add the tier
            fleet.yaml:14:32: error: Tenant/org_hi: expected a data plane that serves tier `pool`, found `silo-delta`, which does not; move the tenant or add the tier
        "#]],
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
        expect![[r#"
            fleet.yaml:4:43: error: DataPlane/one: expected either `tiers: [silo]` with `exclusiveTo: <tenant>`, or tiers of `pool` and `bridge` without it: a silo's nodes are shared with nobody
            fleet.yaml:9:43: error: DataPlane/two: expected either `tiers: [silo]` with `exclusiveTo: <tenant>`, or tiers of `pool` and `bridge` without it: a silo's nodes are shared with nobody
            fleet.yaml:14:43: error: DataPlane/three: expected either `tiers: [silo]` with `exclusiveTo: <tenant>`, or tiers of `pool` and `bridge` without it: a silo's nodes are shared with nobody
            fleet.yaml:19:43: error: DataPlane/four: expected either `tiers: [silo]` with `exclusiveTo: <tenant>`, or tiers of `pool` and `bridge` without it: a silo's nodes are shared with nobody
            fleet.yaml:24:43: error: DataPlane/five: expected either `tiers: [silo]` with `exclusiveTo: <tenant>`, or tiers of `pool` and `bridge` without it: a silo's nodes are shared with nobody
        "#]],
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
kind: Issuer
metadata: { name: dressed-as-loopback }
spec: { issuer: 'http://127.0.0.1:80@evil.example', audiences: [api], orgs: [org_ua] }
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
        expect![[r#"
            fleet.yaml:3:19: error: Tier/gold: metadata.name: expected one of `pool`, `bridge` and `silo`, found `gold`
            fleet.yaml:4:20: error: Tier/gold: expected requests, perSeconds and burst of at least 1 in rateLimit; to shut a tenant out, say `suspended: true`
            fleet.yaml:9:17: error: Issuer/clear: expected an issuer that starts with `https://` (plain `http://` is for loopback only), found `http://idp.example`
            fleet.yaml:9:48: error: Issuer/clear: expected at least one entry in `audiences`, found none: nothing would be accepted
            fleet.yaml:9:64: error: Issuer/clear: expected at least one entry in `algorithms`, found none: nothing would be accepted
            fleet.yaml:9:74: error: Issuer/clear: expected at least one entry in `orgs`, found none: nothing would be accepted
            fleet.yaml:9:88: error: Issuer/clear: expected at least one entry in `orgClaim`, found none: nothing would be accepted
            fleet.yaml:14:17: error: Issuer/almost-loopback: expected an issuer that starts with `https://` (plain `http://` is for loopback only), found `http://127.0.0.1.evil.example`
            fleet.yaml:19:17: error: Issuer/dressed-as-loopback: expected an issuer that starts with `https://` (plain `http://` is for loopback only), found `http://127.0.0.1:80@evil.example`
            fleet.yaml:26:129: error: Model/orphan: expected `trainedOn` of version `v1` to name the tenants whose data it was trained on, found none
            fleet.yaml:27:18: error: Model/orphan: expected each version once, found `v1` again
            fleet.yaml:31:19: error: Tenant/org/ua: metadata.name: expected a tenant id of 1 to 64 characters, starting with a letter or digit, of letters, digits, '-', '_' and '.', found `org/ua`
        "#]],
    );
}

fn declared(spec: &str) -> String {
    format!(
        "apiVersion: bulkhead.dev/v1\nkind: Check\nmetadata: {{ name: of-this-test }}\nspec:\n{spec}"
    )
}

#[test]
fn a_mistake_in_an_expression_is_told_where_it_stands_in_the_file() {
    check(
        &declared(
            "  description: d
  points: [gate]
  expression: |
    tenant.idd == 'org_ua'
      && request.method > 1
  denial: { code: not_so, message: 'of ${tenant.idd}' }
",
        ),
        expect![[r#"
            fleet.yaml:8:12: error: Check/of-this-test: expression: expected a field of `tenant`, found `idd`; did you mean `id`?
            fleet.yaml:9:10: error: Check/of-this-test: expression: expected two values of one type that has an order for `>`, found string and int
            fleet.yaml:10:49: error: Check/of-this-test: denial.message: expected a field of `tenant`, found `idd`; did you mean `id`?
        "#]],
    );
    check(
        &declared(
            "  description: d
  points: [gate]
  expression: tenant.id ==
  denial: { code: not_so, message: 'of ${tenant.id' }
",
        ),
        expect![[r#"
            fleet.yaml:7:27: error: Check/of-this-test: expression: expected a value, found the end
            fleet.yaml:8:40: error: Check/of-this-test: denial.message: expected a `}` after `${`, found none
        "#]],
    );
}

#[test]
fn a_variable_that_one_point_does_not_have_is_told_with_the_point() {
    check(
        &declared(
            "  description: d
  points: [gate, promotion]
  expression: claims.org_id == tenant.id
  denial: { code: not_so, message: m }
",
        ),
        expect![[r#"
            fleet.yaml:7:15: error: Check/of-this-test: expression: expected a variable, found `claims`; there is: data_plane, model, tenant, tier (at point promotion)
        "#]],
    );
}

#[test]
fn an_expression_whose_cost_has_no_bound_is_refused() {
    check(
        &declared(
            "  description: d
  points: [gate]
  expression: request.headers.all(a, request.headers.all(b, request.headers.all(c, a + b != c)))
  denial: { code: not_so, message: m }
",
        ),
        expect![[r#"
            fleet.yaml:7:61: error: Check/of-this-test: expression: expected at most 1048576 units of work at worst, found 39788150 for this part; look at less, or compare with something short
        "#]],
    );
    check(
        &declared(
            "  description: d
  points: [gate]
  expression: tenant.id
  denial: { code: not_so, message: m }
",
        ),
        expect![[r#"
            fleet.yaml:7:15: error: Check/of-this-test: expression: expected an expression of type bool, found string
        "#]],
    );
}

#[test]
fn a_check_that_would_hold_nowhere_or_say_nothing_is_refused() {
    check(
        &declared(
            "  description: ' '
  points: [gate, gate]
  selector: { tiers: [], tenants: [org_au], dataPlanes: [sharedd] }
  expression: 'true'
  denial: { status: 200, code: rate_limited, message: '' }
---
apiVersion: bulkhead.dev/v1
kind: Check
metadata: { name: Not.A.Name }
spec:
  description: d
  points: []
  expression: 'true'
  denial: { status: 404, code: Not-A-Code, message: m }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua }
spec: { tier: pool, dataPlane: shared }
",
        ),
        expect![[r#"
            fleet.yaml:5:16: error: Check/of-this-test: expected a description of 1 to 1024 bytes, found 1; say what the check is for
            fleet.yaml:6:18: error: Check/of-this-test: expected each point once, found `gate` again
            fleet.yaml:7:22: error: Check/of-this-test: expected at least one entry in `tiers`, found none: it would hold for nobody; leave `tiers` out to mean everyone
            fleet.yaml:7:36: error: Check/of-this-test: expected the name of a Tenant, found `org_au`; did you mean `org_ua`?
            fleet.yaml:7:58: error: Check/of-this-test: expected the name of a DataPlane, found `sharedd`; did you mean `shared`?
            fleet.yaml:9:21: error: Check/of-this-test: expected a status of 400 to 499, or 503, found 200
            fleet.yaml:9:32: error: Check/of-this-test: expected a code of the check's own, found `rate_limited`, which is built in: who reads it could not tell the two apart
            fleet.yaml:9:55: error: Check/of-this-test: expected a message that tells the caller what to do, found none
            fleet.yaml:13:19: error: Check/Not.A.Name: metadata.name: expected a check name of 1 to 63 small letters, digits, '-' and '_', starting with a letter or digit, found `Not.A.Name`
            fleet.yaml:7:13: warning: Check/of-this-test: holds for no tenant: no one fits all that its selector says
            fleet.yaml:23:7: warning: Tenant/org_ua: has no models: every prediction will be answered with unknown_model
        "#]],
    );
}

#[test]
fn a_check_that_holds_for_nobody_is_worth_a_warning() {
    check(
        &[
            "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua, labels: { regulated: 'true' } }
spec: { tier: pool, dataPlane: shared, models: [{ name: eta, model: eta, version: pooled-1 }] }
"
            .to_owned(),
            declared(
                "  description: d
  points: [gate]
  selector: { labels: { reglated: 'true' } }
  expression: 'true'
  denial: { code: not_so, message: m }
",
            ),
        ]
        .join("---\n"),
        expect![[r#"
            ok
            fleet.yaml:12:13: warning: Check/of-this-test: holds for no tenant: no one fits all that its selector says
            fleet.yaml:12:35: warning: Check/of-this-test: no tenant wears a label `reglated`; did you mean `regulated`?
        "#]],
    );
}

#[test]
fn unknown_and_repeated_fields_of_a_check_are_refused() {
    check_parse(
        &declared("  descripton: d\n  points: [gate]\n  expression: 'true'\n"),
        expect![[r#"
            fleet.yaml:5:3: error: expected a field of description, points, selector, mode, expression, denial, found `descripton`; did you mean `description`?
        "#]],
    );
    check_parse(
        &declared("  description: d\n  points: [gates]\n  expression: 'true'\n"),
        expect![[r#"
            fleet.yaml:6:12: error: expected one of gate, recheck, sidecar, promotion, found `gates`; did you mean `gate`?
        "#]],
    );
    check_parse(
        &declared("  description: d\n  mode: enforce\n  mode: shadow\n"),
        expect![[r#"
        fleet.yaml:7:3: error: expected each field once, found `mode` again; remove one
    "#]],
    );
    check_parse(
        &declared("  description: d\n  points: [gate]\n  selector: { labels: { a: x, a: y } }\n"),
        expect![[r#"
            fleet.yaml:7:31: error: expected each field once, found `a` again; remove one
        "#]],
    );
}

#[test]
fn a_promotion_check_refuses_the_version_that_fails_it_and_in_shadow_warns() {
    let promotion = |mode: &str| {
        declared(&format!(
            "  description: d
  points: [promotion]
  mode: {mode}
  expression: has(model.evaluation.mape) && model.evaluation.mape < 0.1
  denial: {{ code: not_so, message: '${{model.name}} has not shown that it is good enough for ${{tenant.id}}' }}
"
        ))
    };
    let tenant = tenant(
        "org_ua",
        "tier: pool, dataPlane: shared, models: [{ name: eta, model: eta, version: pooled-1, otherVersions: [ua-1] }]",
    );
    check(
        &[tenant.clone(), promotion("enforce")].join("---\n"),
        expect![[r#"
        fleet.yaml:4:83: error: Tenant/org_ua: expected a version that Check/of-this-test promotes, found Model/eta version `pooled-1`: eta has not shown that it is good enough for org_ua; pin another
        fleet.yaml:4:109: error: Tenant/org_ua: expected a version that Check/of-this-test promotes, found Model/eta version `ua-1`: eta has not shown that it is good enough for org_ua; pin another
    "#]],
    );
    check(
        &[tenant, promotion("shadow")].join("---\n"),
        expect![[r#"
        ok
        fleet.yaml:4:83: warning: Tenant/org_ua: expected a version that Check/of-this-test promotes, found Model/eta version `pooled-1`: eta has not shown that it is good enough for org_ua; pin another (in shadow: it is let through)
        fleet.yaml:4:109: warning: Tenant/org_ua: expected a version that Check/of-this-test promotes, found Model/eta version `ua-1`: eta has not shown that it is good enough for org_ua; pin another (in shadow: it is let through)
    "#]],
    );
}

#[test]
fn labels_are_bounded() {
    let many: String = (0..33).map(|n| format!("l{n}: x, ")).collect();
    check(
        &format!(
            "apiVersion: bulkhead.dev/v1\nkind: Tier\nmetadata:\n  name: bridge\n  labels: {{ {many} }}\nspec: {{ rateLimit: {{ requests: 1, burst: 1 }} }}\n---\napiVersion: bulkhead.dev/v1\nkind: Tier\nmetadata:\n  name: silo\n  labels: {{ \"a\\nb\": x }}\nspec: {{ rateLimit: {{ requests: 1, burst: 1 }} }}\n"
        ),
        expect![[r#"
            fleet.yaml:5:11: error: Tier/bridge: expected at most 32 labels, found 33
            fleet.yaml:12:21: error: Tier/silo: expected a label with a name of 1 to 63 bytes, a value of at most 255 and no control characters, found `a\nb`
        "#]],
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

    /// Sound resources with a few bytes changed are read or refused, and a refusal says where.
    #[test]
    fn a_mistake_has_a_place(changes in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\n]{0,3}"), 1..4)) {
        let mut text = format!("{BASE}---\n{CHECK}");
        for (at, with) in changes {
            let at = at.index(text.len());
            text.replace_range(at..=at, &with);
        }
        match parse("fleet.yaml", &text) {
            Ok(resources) => {
                if let Err(mistakes) = compile(&resources) {
                    for mistake in mistakes.0 {
                        prop_assert!(mistake.origin.line > 0 && mistake.origin.column > 0, "{}", mistake);
                    }
                }
            }
            Err(mistakes) => {
                prop_assert!(!mistakes.is_empty());
                for mistake in mistakes {
                    prop_assert!(mistake.origin.line > 0, "{}", mistake);
                }
            }
        }
    }

    /// The order of the resources says nothing: not for the set, the bytes made of it, or what is
    /// told of mistakes.
    #[test]
    fn the_same_resources_are_the_same_bytes_and_the_same_mistakes(keys in prop::collection::vec(any::<u32>(), 12)) {
        let ua = tenant("org_ua", "tier: pool, dataPlane: shared, models: [{ name: eta, model: eta, version: pooled-1 }]");
        let sound = [BASE, CHECK, &CHECK.replace("of-this-base", "another"), &ua].join("---\n");
        let unsound = [&sound, &ua, &tenant("org_dl", "tier: silo, dataPlane: sharde"), &CHECK.replace("tenant.id", "tenant.idd")].map(String::as_str).join("---\n");
        let shuffled = |text: &str| -> Result<Vec<Resource>, TestCaseError> {
            let resources = parse("fleet.yaml", text).map_err(|d| TestCaseError::fail(lines(&d)))?;
            let mut keyed: Vec<_> = keys.iter().copied().cycle().zip(resources).collect();
            keyed.sort_by_key(|(key, _)| *key);
            Ok(keyed.into_iter().map(|(_, resource)| resource).collect())
        };
        let bytes = |resources: &[Resource]| {
            let resolved = compile(resources).map_err(|d| TestCaseError::fail(d.to_string()))?.resolved;
            let table = GateRows::of(&resolved, |plane| format!("plane/{plane}")).encode();
            Ok::<_, TestCaseError>(table.unwrap_or_default())
        };
        let written = parse("fleet.yaml", &sound).map_err(|d| TestCaseError::fail(lines(&d)))?;
        prop_assert_eq!(bytes(&shuffled(&sound)?)?, bytes(&written)?);
        let written = parse("fleet.yaml", &unsound).map_err(|d| TestCaseError::fail(lines(&d)))?;
        let told = |resources: &[Resource]| compile(resources).map(|_| ()).map_err(|d| d.to_string());
        prop_assert!(told(&written).is_err());
        prop_assert_eq!(told(&shuffled(&unsound)?), told(&written));
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
