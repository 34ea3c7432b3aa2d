//! Tensors behind the JSON: the binary tensor extension.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    INFER,
    node::{answered, expected_air_time, flight, flight_in_bytes},
    three_tenants,
};

const LENGTH: &str = "inference-header-content-length";

#[tokio::test]
async fn inputs_and_outputs_may_stand_behind_the_json() {
    let (plane, _home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    let outputs = json!([{"name": "air_time", "parameters": {"binary_data": true}}]);
    let (body, json_bytes) = flight_in_bytes(&outputs);
    let request = sidecar.infer(INFER, &passport).header(LENGTH, json_bytes).body(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    let json_bytes: usize = answer.headers()[LENGTH].to_str().unwrap().parse().unwrap();
    let body = answer.bytes().await.unwrap();
    let (json, behind) = body.split_at(json_bytes);
    let json: Value = serde_json::from_slice(json).unwrap();
    assert_eq!(json["outputs"][0]["parameters"], json!({"binary_data_size": 4}));
    assert_eq!(behind, expected_air_time("ua").to_le_bytes());

    let mut body = flight();
    body["parameters"] = json!({"binary_data_output": true});
    let answer = sidecar.infer(INFER, &passport).body(body.to_string()).send().await.unwrap();
    assert!(answer.bytes().await.unwrap().ends_with(&expected_air_time("ua").to_le_bytes()));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_length_that_is_none_or_beyond_the_body_is_refused_and_nothing_is_metered() {
    let (plane, _home, sidecar) = three_tenants().await;
    let (body, json_bytes) = flight_in_bytes(&json!([]));
    for length in ["x", "-1", "1000000", &(json_bytes - 1).to_string()] {
        let request = sidecar.infer(INFER, &plane.passport("ua")).header(LENGTH, length);
        let refused = answered(request.body(body.clone())).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "invalid_request"));
    }
    sidecar.stop().await;
    assert!(plane.held.lock().unwrap().events.is_empty());
}

#[tokio::test]
async fn a_request_whose_time_is_up_is_refused_before_it_runs() {
    let (plane, _home, sidecar) = three_tenants().await;
    let mut body = flight();
    body["parameters"] = json!({"timeout": 0});
    let request = sidecar.infer(INFER, &plane.passport("ua")).body(body.to_string());
    assert_eq!(answered(request).await.code(), "deadline_exceeded");
    sidecar.stop().await;
    assert!(plane.held.lock().unwrap().events.is_empty());
}
