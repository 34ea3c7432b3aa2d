//! Assignments come, change, are refused, and outlive the control plane.

use policy_model::assignment::TENANT_ASSIGNMENT_TYPE;
use reqwest::{Method, StatusCode};

use crate::{
    INFER,
    node::{Home, answered, expected_air_time, onnx},
    plane::{Plane, model, until},
    three_tenants,
};

#[tokio::test]
async fn a_node_without_assignments_serves_nobody_and_says_so() {
    let plane = Plane::start().await;
    let home = Home::new();
    let sidecar = home.start(&plane).await;
    let refused = sidecar.predict(INFER, &plane.passport("ua")).await;
    let expected = (StatusCode::SERVICE_UNAVAILABLE, "policy_unavailable");
    assert_eq!((refused.status, refused.code()), expected);
    let ready = answered(sidecar.request(Method::GET, "/v2/health/ready")).await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let live = answered(sidecar.request(Method::GET, "/v2/health/live")).await;
    assert_eq!(live.status, StatusCode::OK);
    sidecar.stop().await;
}

#[tokio::test]
async fn with_the_control_plane_dead_a_node_starts_and_serves_what_it_was_last_told() {
    let (mut plane, home, sidecar) = three_tenants().await;
    assert_eq!(sidecar.predict(INFER, &plane.passport("ua")).await.status, StatusCode::OK);
    for name in ["ua", "pooled"] {
        let path = home.artifact(&tenancy::Digest::of(&onnx(name)));
        until("the artifact", || path.exists().then_some(())).await;
    }
    plane.stop();
    sidecar.stop().await;
    let sidecar = home.start(&plane).await;
    for (tenant, file) in [("ua", "ua"), ("dl", "pooled")] {
        let answer = sidecar.predict(INFER, &plane.passport(tenant)).await;
        assert_eq!(answer.air_time(), expected_air_time(file));
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_change_of_assignment_changes_the_answer_and_lets_the_old_artifact_go() {
    let (mut plane, home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    let old = home.artifact(&tenancy::Digest::of(&onnx("ua")));
    assert_eq!(sidecar.predict(INFER, &passport).await.air_time(), expected_air_time("ua"));
    assert!(old.exists());
    let other = plane.artifact(onnx("b6"));
    plane.assign("ua", "bridge", vec![model("air-time", "ua-2", "m", other, &["ua"])]);
    plane.tenants.remove("dl");
    plane.push().await;
    assert_eq!(sidecar.predict(INFER, &passport).await.air_time(), expected_air_time("b6"));
    let gone = sidecar.predict(INFER, &plane.passport("dl")).await;
    assert_eq!(gone.code(), "unknown_model");
    until("the old artifact to go", || (!old.exists()).then_some(())).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_malformed_assignment_is_refused_with_its_reason_and_the_last_good_one_stays() {
    let (mut plane, _home, sidecar) = three_tenants().await;
    let good = plane.tenants["ua"].clone();
    plane.tenants.get_mut("ua").unwrap().models[0].digest = "sha256:short".to_owned();
    plane.tenants.get_mut("dl").unwrap().models[0].version = "2".to_owned();
    let progress = plane.push().await;
    let refusal = &progress.refused[0].refusal;
    assert!(refusal.message.contains("resource `ua`"), "{}", refusal.message);
    for (tenant, version) in [("ua", "ua-1"), ("dl", "1")] {
        let answer = sidecar.predict(INFER, &plane.passport(tenant)).await;
        assert_eq!(answer.body["model_version"], version, "{answer:?}");
    }
    let status = &plane.proxies.list()[0].types[TENANT_ASSIGNMENT_TYPE];
    assert!(status.refusal.is_some());
    plane.tenants.insert("ua".to_owned(), good);
    let progress = plane.push().await;
    assert!(progress.refused.is_empty(), "{progress:?}");
    let answer = sidecar.predict(INFER, &plane.passport("dl")).await;
    assert_eq!(answer.body["model_version"], "2", "{answer:?}");
    sidecar.stop().await;
}
