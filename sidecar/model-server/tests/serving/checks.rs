//! Declared checks hold where the model runs too.

use policy_model::{compile::compile, spec::parse, table::SidecarRows};
use reqwest::StatusCode;

use crate::{INFER, three_tenants};

/// The checks of a tenant `name`, compiled as the control plane does.
fn table(name: &str, mode: &str, expression: &str) -> Vec<u8> {
    let yaml = format!(
        "
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {{ name: shared }}
spec: {{ region: us-east-1, tiers: [pool, bridge], endpoints: [] }}
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {{ name: {name}, labels: {{ contract: gold }} }}
spec: {{ tier: bridge, dataPlane: shared, rateLimit: {{ requests: 1, burst: 1 }} }}
---
apiVersion: bulkhead.dev/v1
kind: Check
metadata: {{ name: only-so }}
spec:
  description: What this test asks for.
  points: [sidecar]
  mode: {mode}
  expression: |
    {expression}
  denial: {{ status: 409, code: not_so, message: \"${{tenant.id}} wanted ${{model.name}} ${{model.version}}\" }}
"
    );
    let resolved = compile(&parse("checks.yaml", &yaml).unwrap()).unwrap().resolved;
    let tenant = resolved.tenants.values().next().unwrap();
    SidecarRows::of(&resolved, tenant).unwrap().encode().unwrap()
}

#[tokio::test]
async fn a_declared_check_denies_where_the_model_runs_and_no_other_tenant_feels_it() {
    let (mut plane, _home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    let passes = "tenant.id == 'ua' && tenant.labels['contract'] == 'gold' && tier.name == 'bridge' \
                  && data_plane.region == node.region && model.trained_on == ['ua'] \
                  && request.method == 'POST' && request.path.endsWith('/infer') \
                  && request.content_length > 0 && !('authorization' in request.headers) \
                  && now > timestamp('2020-01-01T00:00:00Z')";
    plane.tenants.get_mut("ua").unwrap().checks = table("ua", "enforce", passes);
    plane.push().await;
    assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);

    plane.tenants.get_mut("ua").unwrap().checks = table("ua", "enforce", "model.version == '2'");
    plane.push().await;
    let denied = sidecar.predict(INFER, &passport).await;
    assert_eq!((denied.status, denied.code()), (StatusCode::CONFLICT, "not_so"));
    assert_eq!(denied.body["check"], "only-so");
    assert_eq!(denied.body["detail"], "ua wanted air-time-ua ua-1");
    assert_eq!(sidecar.predict(INFER, &plane.passport("aa")).await.status, StatusCode::OK);

    // What cannot be evaluated is a denial, and what is in shadow denies nothing.
    let missing = "tenant.labels['no-such'] == ''";
    plane.tenants.get_mut("ua").unwrap().checks = table("ua", "enforce", missing);
    plane.push().await;
    assert_eq!(sidecar.predict(INFER, &passport).await.code(), "not_so");
    plane.tenants.get_mut("ua").unwrap().checks = table("ua", "shadow", missing);
    plane.push().await;
    assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);
    sidecar.stop().await;
}
