//! Every answered prediction is metered once, and nothing else is.

use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::{
    INFER,
    node::{answered, flight},
    three_tenants,
};

#[tokio::test]
async fn every_answered_prediction_is_recorded_once_under_the_gates_request_id() {
    let (plane, _home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    let ids: Vec<String> = (0..20).map(|_| Uuid::now_v7().to_string()).collect();
    // The first request comes twice, as after a retry.
    for id in ids.iter().chain(ids.first()) {
        let request = sidecar.infer(INFER, &passport).header("x-bulkhead-request-id", id);
        assert_eq!(answered(request).await.status, StatusCode::OK);
    }
    let mut wide = flight();
    for input in wide["inputs"].as_array_mut().unwrap() {
        let element = input["data"][0].clone();
        input["shape"] = json!([3, 1]);
        input["data"] = json!([[element], [element], [element]]);
    }
    let wide_id = Uuid::now_v7();
    let request =
        sidecar.infer(INFER, &passport).header("x-bulkhead-request-id", wide_id.to_string());
    let answer = answered(request.body(wide.to_string())).await;
    assert_eq!(answer.body["outputs"][0]["shape"], json!([3, 1]));

    let events = plane.events(21).await;
    sidecar.stop().await;
    assert_eq!(events.len(), 21);
    assert!(ids.iter().all(|id| events.iter().any(|event| event.id.to_string() == *id)));
    for event in &events {
        assert_eq!(event.quantity, if event.id == wide_id { 3 } else { 1 });
        assert_eq!((event.tenant.as_str(), event.metric.as_str()), ("ua", "prediction_rows"));
        assert_eq!((event.model.as_str(), event.version.as_str()), ("air-time-ua", "ua-1"));
        assert_eq!((event.data_plane.as_str(), event.region.as_str()), ("shared", "us-east-1"));
        assert!(event.timestamp > 1_700_000_000_000_000 && event.latency > 0);
    }
}

#[tokio::test]
async fn refused_requests_cost_nothing() {
    let (plane, _home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    let mut without = flight();
    without["inputs"].as_array_mut().unwrap().pop();
    let refused = answered(sidecar.infer(INFER, &passport).body(without.to_string())).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "missing_input"));
    let refused = answered(sidecar.infer(INFER, &passport).body("{")).await;
    assert_eq!(refused.code(), "invalid_request");
    assert_eq!(sidecar.get("/v2/models/air-time", &passport).await.status, StatusCode::OK);
    assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);
    sidecar.stop().await;
    assert_eq!(plane.held.lock().unwrap().events.len(), 1);
}

#[tokio::test]
async fn what_a_gone_receiver_did_not_take_is_shipped_by_the_next_run() {
    let (mut plane, home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);
    plane.events(1).await;
    plane.stop();
    for _ in 0..3 {
        assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);
    }
    sidecar.stop().await;
    assert_eq!(plane.held.lock().unwrap().events.len(), 1);
    let returned = super::plane::Plane::start().await;
    let sidecar = home.start(&returned).await;
    assert_eq!(returned.events(3).await.len(), 3);
    sidecar.stop().await;
}
