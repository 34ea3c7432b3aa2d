//! A resource as JSON is the resource: the control plane stores that form and reads it back.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use policy_model::spec::{Kind, Resource, parse};

const ALL: &str = r#"
apiVersion: bulkhead.dev/v1
kind: Tier
metadata: { name: pool }
spec: { rateLimit: { requests: 10, perSeconds: 60, burst: 20 } }
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: silo-dl, labels: { region: "no" }, annotations: { note: "it's: 'quoted' \n---\n # not a comment" } }
spec: { region: eu, tiers: [silo], exclusiveTo: org_dl, endpoints: [{ address: "::1", port: 9000 }] }
---
apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: { name: idp }
spec: { issuer: https://idp.example/, audiences: ["1e3", "yes", "null"], algorithms: [ES384], orgs: [org_dl], orgClaim: "https://x/org" }
---
apiVersion: bulkhead.dev/v1
kind: Model
metadata: { name: eta }
spec:
  versions:
    - version: "1.0"
      artifact: dl.onnx
      digest: sha256:0000000000000000000000000000000000000000000000000000000000000003
      trainedOn: [org_dl]
      evaluation: { rowsTrained: 18446744073709551615, rowsEvaluated: 0, mape: 0.1, pooledMape: 1e-7 }
      status: retired
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_dl }
spec:
  tier: silo
  dataPlane: silo-dl
  rateLimit: { requests: 1, burst: 2 }
  models: [{ name: eta, model: eta, version: "1.0", otherVersions: ["1.1"] }]
  suspended: true
---
apiVersion: bulkhead.dev/v1
kind: Check
metadata: { name: token-age }
spec:
  description: A token is at most an hour old.
  points: [gate, promotion]
  selector: { tiers: [silo], tenants: [org_dl], dataPlanes: [silo-dl], labels: { regulated: "true" } }
  mode: shadow
  expression: |
    now - token.issued_at <= duration('1h')
  denial: { status: 401, code: token_too_old, message: "older than\nan hour" }
"#;

#[test]
fn every_kind_survives_json() {
    let resources = parse("all.yaml", ALL).unwrap();
    let kinds: Vec<Kind> = resources.iter().map(Resource::kind).collect();
    assert_eq!(kinds, Kind::ALL, "a kind is missing from this test");
    for resource in resources {
        let json = resource.to_json();
        for text in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
            let back = parse("stored.json", &text).unwrap();
            assert_eq!(back.len(), 1, "{text}");
            assert_eq!(back[0].to_json(), json);
            assert_eq!(back[0].metadata(), resource.metadata());
        }
    }
}

#[test]
fn what_is_not_said_is_not_written() {
    let said = parse(
        "t.yaml",
        "apiVersion: bulkhead.dev/v1\nkind: Tenant\nmetadata: { name: org_a }\nspec: { tier: pool, dataPlane: shared }\n",
    )
    .unwrap();
    let json = said[0].to_json();
    assert!(json["spec"].get("rateLimit").is_none());
    assert!(json["spec"].get("suspended").is_none());
    assert!(json["metadata"].get("labels").is_none());
}
