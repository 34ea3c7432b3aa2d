//! Who is answered, and by which model.

use passport::SigningKey;
use reqwest::{Method, StatusCode};

use crate::{
    INFER,
    node::{answered, expected_air_time, flight},
    three_tenants,
};

#[tokio::test]
async fn nothing_but_health_is_answered_without_a_passport_for_this_data_plane() {
    let (mut plane, _home, sidecar) = three_tenants().await;
    let bare = sidecar.request(Method::POST, INFER).body(flight().to_string());
    assert_eq!(answered(bare).await.code(), "passport_missing");
    let claimed = sidecar.request(Method::POST, INFER).header("x-bulkhead-tenant", "ua");
    assert_eq!(answered(claimed).await.code(), "passport_missing");
    for path in ["/v2", "/v2/models/air-time", "/v2/models/air-time/ready", "/elsewhere"] {
        let bare = answered(sidecar.request(Method::GET, path)).await;
        assert_eq!((bare.status, bare.code()), (StatusCode::FORBIDDEN, "passport_missing"));
    }
    let elsewhere = plane.passport_for("ua", "silo-ua", 60);
    assert_eq!(sidecar.predict(INFER, &elsewhere).await.code(), "wrong_data_plane");
    let expired = plane.passport_for("ua", super::plane::PLANE, 0);
    assert_eq!(sidecar.predict(INFER, &expired).await.code(), "passport_expired");
    let good = plane.passport("ua");
    let two = sidecar.infer(INFER, &good).header("x-bulkhead-passport", &good);
    assert_eq!(answered(two).await.code(), "passport_invalid");
    plane.key = SigningKey::generate();
    let forged = plane.passport("ua");
    assert_eq!(sidecar.predict(INFER, &forged).await.code(), "passport_invalid");
    let live = answered(sidecar.request(Method::GET, "/v2/health/live")).await;
    assert_eq!((live.status, &live.body["live"]), (StatusCode::OK, &true.into()));
    let ready = answered(sidecar.request(Method::GET, "/v2/health/ready")).await;
    assert_eq!((ready.status, &ready.body["ready"]), (StatusCode::OK, &true.into()));
    sidecar.stop().await;
    assert_eq!(plane.held.lock().unwrap().events.len(), 0);
}

#[tokio::test]
async fn a_tenant_cannot_reach_a_neighbours_model_nor_learn_that_there_is_one() {
    let (plane, _home, sidecar) = three_tenants().await;
    let (ua, aa) = (plane.passport("ua"), plane.passport("aa"));
    assert_eq!(sidecar.predict("/v2/models/secret/infer", &aa).await.status, StatusCode::OK);
    let nothing = sidecar.predict("/v2/models/no-such-model/infer", &ua).await;
    assert_eq!((nothing.status, nothing.code()), (StatusCode::NOT_FOUND, "unknown_model"));
    for name in ["secret", "air-time-aa", "air-time/versions/aa-1", "air-time/versions/1"] {
        let reached = sidecar.predict(&format!("/v2/models/{name}/infer"), &ua).await;
        assert_eq!(reached, nothing, "{name}");
        for path in [format!("/v2/models/{name}"), format!("/v2/models/{name}/ready")] {
            assert_eq!(sidecar.get(&path, &ua).await, nothing, "{path}");
        }
    }
    let stranger = plane.passport("nobody");
    assert_eq!(sidecar.predict(INFER, &stranger).await, nothing);
    sidecar.stop().await;
}

#[tokio::test]
async fn the_answer_is_that_of_the_model_that_is_assigned_to_the_tenant() {
    let (plane, _home, sidecar) = three_tenants().await;
    let mut answers = vec![];
    for (tenant, file, version) in
        [("ua", "ua", "ua-1"), ("aa", "aa", "aa-1"), ("dl", "pooled", "1")]
    {
        let answer = sidecar.predict(INFER, &plane.passport(tenant)).await;
        assert_eq!(answer.air_time(), expected_air_time(file), "{tenant}");
        assert_eq!(answer.body["model_name"], "air-time");
        assert_eq!(answer.body["model_version"], version);
        answers.push(answer.air_time().to_bits());
        // A body cannot choose: it names what the neighbour has, and changes nothing.
        let mut body = flight();
        body["model_name"] = "secret".into();
        body["model_version"] = "aa-1".into();
        body["parameters"] = serde_json::json!({"tenant": "aa", "org_id": "aa"});
        let claimed = sidecar.infer(INFER, &plane.passport(tenant)).body(body.to_string());
        assert_eq!(answered(claimed).await, answer);
    }
    answers.dedup();
    assert_eq!(answers.len(), 3, "three models, three answers");
    sidecar.stop().await;
}
