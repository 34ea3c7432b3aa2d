//! Tenants whose models are adapters of one base: each gets its own answers, and the base's data is
//! what its policy allows.

use std::time::Duration;

use artifact::{Identity, Mapped, Package};
use inference::{Pack, PackOver, pack, pack_over};
use policy_model::assignment::{AssignedBase, AssignedModel, Serving};
use reqwest::StatusCode;
use tenancy::Digest;

use crate::{
    INFER,
    node::{Home, expected_air_time, onnx},
    plane::{Plane, model, until},
    sharing::{metric, with_metrics},
};

/// Minutes: what the tuned model's answers may lose in an adapter, of some hundred and fifty.
const TOLERANCE: f32 = 1.0;
const TENANTS: [&str; 3] = ["aa", "mq", "b6"];

/// A plane with the pooled model as a base, and an adapter of it for each tenant.
struct Adapted {
    plane: Plane,
    base: Digest,
}

impl Adapted {
    async fn new() -> Self {
        let mut plane = Plane::start().await;
        plane.serving = Some(Serving {
            max_batch_rows: 8,
            batch_wait_micros: 20_000,
            keep_old_version_seconds: 0,
        });
        let packed = pack(&onnx("pooled"), &Pack::default()).unwrap().bytes;
        let package = Package::open(Mapped::copied(&packed).unwrap()).unwrap();
        let base = plane.artifact(packed);
        for tenant in TENANTS {
            let identity = Identity { trained_on: vec![tenant.to_owned()], ..Identity::default() };
            let options = PackOver { identity, largest_deviation: 1.0, ..PackOver::default() };
            let tuned = onnx(&format!("tuned/{tenant}"));
            let adapter = plane.artifact(pack_over(&package, &tuned, &options).unwrap().bytes);
            plane.assign(tenant, "bridge", vec![over(adapter, base, &TENANTS, tenant)]);
            plane.tenants.get_mut(tenant).unwrap().shares_bases = true;
        }
        Self { plane, base }
    }
}

/// An adapter of `tenant`'s data alone over the pooled model.
fn over(adapter: Digest, base: Digest, trained_on: &[&str], tenant: &str) -> AssignedModel {
    let base = AssignedBase {
        model: "air-time-pooled".to_owned(),
        version: "1".to_owned(),
        digest: base.to_string(),
        trained_on: trained_on.iter().map(|org| (*org).to_owned()).collect(),
    };
    let name = format!("air-time-{tenant}");
    AssignedModel { base: Some(base), ..model("air-time", "1", &name, adapter, &[tenant]) }
}

#[tokio::test]
async fn tenants_of_one_base_are_answered_together_each_by_its_own() {
    let Adapted { plane, .. } = Adapted::new().await;
    let (_home, sidecar, metrics) = with_metrics(&plane).await;
    let expected = TENANTS.map(|tenant| expected_air_time(&format!("tuned/{tenant}")));
    let apart = |a: f32, b: f32| (a - b).abs();
    assert!(apart(expected[0], expected[1]) > TOLERANCE, "{expected:?}");
    for _ in 0..20 {
        let passports = TENANTS.map(|tenant| plane.passport(tenant));
        let [a, b, c] = passports.each_ref().map(|passport| sidecar.predict(INFER, passport));
        let (a, b, c) = tokio::join!(a, b, c);
        for (found, expected) in [a, b, c].iter().zip(expected) {
            let found = found.air_time();
            assert!(apart(found, expected) < TOLERANCE, "{found} and tuned {expected}");
        }
    }
    // Three rows ran as one, and each tenant is billed its own.
    let joined =
        metric(&metrics, "bulkhead_sidecar_batch_rows_bucket{tenant=\"aa\",le=\"2\"}").await;
    let all = metric(&metrics, "bulkhead_sidecar_batch_rows_count{tenant=\"aa\"}").await;
    assert!(joined < all, "{joined} of {all} executions had two rows at most");
    for tenant in TENANTS {
        let rows = format!("bulkhead_sidecar_rows_total{{tenant=\"{tenant}\"}}");
        assert_eq!(metric(&metrics, &rows).await, 20.0);
    }
    // The base and three adapters.
    assert_eq!(metric(&metrics, "bulkhead_sidecar_models").await, 4.0);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_base_of_others_data_is_refused_unless_the_tenant_may_share_one() {
    let Adapted { mut plane, .. } = Adapted::new().await;
    let sidecar_home = Home::new();
    let sidecar = sidecar_home.start_ready(&plane).await;
    let passport = plane.passport("aa");
    assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);
    plane.tenants.get_mut("aa").unwrap().shares_bases = false;
    plane.push().await;
    let refused = sidecar.predict(INFER, &passport).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_GATEWAY, "provenance_mismatch"));
    assert_eq!(sidecar.predict(INFER, &plane.passport("b6")).await.status, StatusCode::OK);
    sidecar.stop().await;
    assert_eq!(plane.held.lock().unwrap().events.len(), 2);
}

#[tokio::test]
async fn an_adapter_runs_over_no_other_base_and_not_alone() {
    let Adapted { mut plane, .. } = Adapted::new().await;
    let other = plane.artifact(pack(&onnx("ua"), &Pack::default()).unwrap().bytes);
    let adapter = plane.tenants["aa"].models[0].clone();
    let over_another = over(adapter.digest.parse().unwrap(), other, &TENANTS, "aa");
    let alone = AssignedModel { base: None, ..adapter };
    let passport = plane.passport("aa");
    let home = Home::new();
    let sidecar = home.start_ready(&plane).await;
    assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);
    for wrong in [&over_another, &alone] {
        plane.tenants.get_mut("aa").unwrap().models = vec![wrong.clone()];
        plane.push().await;
        // It is loaded by now, over the base that its package names.
        let refused = sidecar.predict(INFER, &passport).await;
        assert_eq!(refused.code(), "provenance_mismatch", "{refused:?}");
    }
    sidecar.stop().await;
    for wrong in [over_another, alone] {
        plane.tenants.get_mut("aa").unwrap().models = vec![wrong];
        let home = Home::new();
        let sidecar = home.start_ready(&plane).await;
        let refused = sidecar.predict(INFER, &passport).await;
        assert_eq!(refused.code(), "model_unavailable", "{refused:?}");
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn a_base_is_kept_for_as_long_as_an_adapter_needs_it() {
    let Adapted { mut plane, base } = Adapted::new().await;
    let home = Home::new();
    let sidecar = home.start_ready(&plane).await;
    let passport = plane.passport("aa");
    assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);
    let file = home.artifact(&base);
    for gone in ["b6", "mq"] {
        plane.tenants.remove(gone);
    }
    plane.push().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(file.exists());
    assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);
    plane.tenants.remove("aa");
    plane.push().await;
    until("the base to go", || (!file.exists()).then_some(())).await;
    sidecar.stop().await;
}
