//! A model that is not what the registry says is not served, and the request says so.

use std::{fs, os::unix::fs::PermissionsExt};

use inference::{Pack, pack};
use reqwest::StatusCode;

use crate::{
    INFER,
    node::{Home, onnx, with_metadata},
    plane::{Plane, model, until},
    three_tenants,
};

#[tokio::test]
async fn an_artifact_that_was_changed_on_the_node_is_not_loaded_and_nothing_is_metered() {
    let (plane, home, sidecar) = three_tenants().await;
    let (digest, other) = (plane.artifact(onnx("ua")), onnx("aa"));
    let path = home.artifact(&digest);
    until("the artifact", || path.exists().then_some(())).await;
    // What is loaded by now was right: it is the next one that must not load what is there then.
    sidecar.stop().await;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &other).unwrap();
    let sidecar = home.start(&plane).await;
    let refused = sidecar.predict(INFER, &plane.passport("ua")).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::BAD_GATEWAY, "artifact_digest_mismatch")
    );
    let ready = sidecar.get("/v2/models/air-time/ready", &plane.passport("ua")).await;
    assert_eq!(ready.code(), "artifact_digest_mismatch");
    sidecar.stop().await;
    assert_eq!(plane.held.lock().unwrap().events.len(), 0);
}

#[tokio::test]
async fn a_sealed_copy_answers_on_whatever_becomes_of_its_file() {
    let mut plane = Plane::start().await;
    let package = pack(&onnx("ua"), &Pack::default()).unwrap().bytes;
    let digest = plane.artifact(package);
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", digest, &["ua"])]);
    let mut home = Home::new();
    home.seal_artifacts = true;
    let sidecar = home.start_ready(&plane).await;
    let passport = plane.passport("ua");
    let found = sidecar.predict(INFER, &passport).await.air_time();
    let path = home.artifact(&digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    // A page of a file that is mapped would be gone, and the process with it.
    fs::File::options().write(true).open(&path).unwrap().set_len(1).unwrap();
    assert_eq!(sidecar.predict(INFER, &passport).await.air_time(), found);
    sidecar.stop().await;
}

#[tokio::test]
async fn other_bytes_from_the_control_plane_are_not_stored() {
    let mut plane = Plane::start().await;
    let digest = plane.artifact(onnx("ua"));
    plane.held.lock().unwrap().artifacts.insert(digest.to_string(), onnx("aa").into());
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", digest, &["ua"])]);
    let home = Home::new();
    let sidecar = home.start_ready(&plane).await;
    let refused = sidecar.predict(INFER, &plane.passport("ua")).await;
    assert_eq!(refused.code(), "artifact_digest_mismatch");
    assert!(!home.artifact(&digest).exists());
    plane.artifact(onnx("ua"));
    assert_eq!(sidecar.predict(INFER, &plane.passport("ua")).await.status, StatusCode::OK);
    sidecar.stop().await;
}

#[tokio::test]
async fn an_artifact_that_nobody_has_is_unavailable_for_now() {
    let mut plane = Plane::start().await;
    let digest = tenancy::Digest::of(b"never uploaded");
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", digest, &["ua"])]);
    let sidecar_home = Home::new();
    let sidecar = sidecar_home.start_ready(&plane).await;
    let answer = sidecar.infer(INFER, &plane.passport("ua")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["code"], "model_unavailable");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_model_that_saw_others_data_does_not_answer_a_tenant_who_demands_its_own() {
    let mut plane = Plane::start().await;
    let pooled = plane.artifact(onnx("pooled"));
    for (tenant, tier) in [("ua", "silo"), ("aa", "bridge"), ("dl", "pool")] {
        let assigned = model("air-time", "1", "pooled", pooled, &["aa", "dl", "ua"]);
        plane.assign(tenant, tier, vec![assigned]);
    }
    let home = Home::new();
    let sidecar = home.start_ready(&plane).await;
    assert_eq!(sidecar.predict(INFER, &plane.passport("dl")).await.status, StatusCode::OK);
    for tenant in ["ua", "aa"] {
        let refused = sidecar.predict(INFER, &plane.passport(tenant)).await;
        let expected = (StatusCode::BAD_GATEWAY, "provenance_mismatch");
        assert_eq!((refused.status, refused.code()), expected);
    }
    sidecar.stop().await;
    assert_eq!(plane.held.lock().unwrap().events.len(), 1);
}

#[tokio::test]
async fn a_file_has_to_say_of_itself_what_the_registry_says() {
    let mut plane = Plane::start().await;
    let pooled = plane.artifact(with_metadata(onnx("pooled"), "trained_on", "ua, dl"));
    let honest = model("air-time", "1", "pooled", pooled, &["dl", "ua"]);
    plane.assign("dl", "pool", vec![honest]);
    // The same file, which is loaded once for both, under another claim.
    plane.assign("aa", "pool", vec![model("air-time", "1", "pooled", pooled, &["aa", "dl"])]);
    let own = plane.artifact(with_metadata(onnx("ua"), "trained_on", "ua,dl"));
    plane.assign("ua", "bridge", vec![model("air-time", "1", "own", own, &["ua"])]);
    let home = Home::new();
    let sidecar = home.start_ready(&plane).await;
    assert_eq!(sidecar.predict(INFER, &plane.passport("dl")).await.status, StatusCode::OK);
    for tenant in ["aa", "ua"] {
        let refused = sidecar.predict(INFER, &plane.passport(tenant)).await;
        assert_eq!(refused.code(), "provenance_mismatch", "{tenant}");
    }
    sidecar.stop().await;
}
