//! The Open Inference Protocol v2 as a caller sees it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    INFER,
    node::{Home, answered, flight, onnx, plain_client},
    plane::{Plane, model},
    three_tenants,
};

#[tokio::test]
async fn metadata_says_what_the_model_takes_and_gives() {
    let (plane, _home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    let server = sidecar.get("/v2", &passport).await;
    assert_eq!(
        (&server.body["name"], &server.body["extensions"]),
        (&json!("bulkhead"), &json!(["binary_tensor_data", "model_repository", "statistics"]))
    );
    for path in ["/v2/models/air-time", "/v2/models/air-time/versions/ua-1"] {
        let metadata = sidecar.get(path, &passport).await.body;
        assert_eq!(metadata["name"], "air-time");
        assert_eq!(metadata["versions"], json!(["ua-1"]));
        assert_eq!(metadata["platform"], "onnx");
        let inputs = metadata["inputs"].as_array().unwrap();
        assert_eq!(inputs.len(), 9);
        assert!(inputs.contains(&json!({"name": "dest", "datatype": "BYTES", "shape": [-1, 1]})));
        let output = json!([{"name": "air_time", "datatype": "FP32", "shape": [-1, 1]}]);
        assert_eq!(metadata["outputs"], output);
        let ready = sidecar.get(&format!("{path}/ready"), &passport).await;
        assert_eq!((ready.status, &ready.body["ready"]), (StatusCode::OK, &json!(true)));
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn an_answer_has_the_requests_id_and_the_outputs_that_are_asked_for() {
    let (plane, _home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    let answer = sidecar.predict("/v2/models/air-time/versions/ua-1/infer", &passport).await;
    assert_eq!(answer.body["id"], "flight");
    assert_eq!(answer.body["outputs"][0]["name"], "air_time");
    assert_eq!(answer.body["outputs"][0]["datatype"], "FP32");
    assert_eq!(answer.body["outputs"][0]["shape"], json!([1, 1]));
    let mut body = flight();
    body["outputs"] = json!([{"name": "air_time"}]);
    let same = answered(sidecar.infer(INFER, &passport).body(body.to_string())).await;
    assert_eq!(same.body, answer.body);
    body["outputs"] = json!([{"name": "distance"}]);
    let refused = answered(sidecar.infer(INFER, &passport).body(body.to_string())).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "unknown_input"));
    sidecar.stop().await;
}

#[tokio::test]
async fn each_mistake_has_its_code() {
    let (plane, _home, sidecar) = three_tenants().await;
    let passport = plane.passport("ua");
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 6] = [
        ("unknown_input", |body| body["inputs"][0]["name"] = json!("airline")),
        ("wrong_datatype", |body| body["inputs"][3]["datatype"] = json!("FP64")),
        ("bad_shape", |body| body["inputs"][3]["shape"] = json!([1])),
        ("bad_shape", |body| body["inputs"][3]["shape"] = json!([2, 1])),
        ("invalid_request", |body| body["inputs"][4]["data"] = json!([1.5])),
        ("invalid_request", |body| body["inputs"][1] = body["inputs"][0].clone()),
    ];
    for (code, change) in changes {
        let mut body = flight();
        change(&mut body);
        let refused = answered(sidecar.infer(INFER, &passport).body(body.to_string())).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, code));
        assert_eq!(refused.body["error"], refused.body["detail"]);
    }
    let wrong = sidecar.get(INFER, &passport).await;
    assert_eq!(
        (wrong.status, wrong.code()),
        (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
    );
    assert_eq!(sidecar.get("/v3", &passport).await.code(), "not_found");
    let encoded = sidecar.infer(INFER, &passport).header("content-encoding", "gzip");
    assert_eq!(answered(encoded).await.code(), "invalid_request");
    sidecar.stop().await;
}

#[tokio::test]
async fn metrics_name_assigned_tenants_and_codes_and_nothing_that_a_request_says() {
    let mut plane = Plane::start().await;
    let digest = plane.artifact(onnx("ua"));
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", digest, &["ua"])]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = Home { metrics: Some(free), ..Home::new() };
    let sidecar = home.start_ready(&plane).await;
    assert_eq!(sidecar.predict(INFER, &plane.passport("ua")).await.status, StatusCode::OK);
    sidecar.predict("/v2/models/whatever/infer", &plane.passport("stranger")).await;
    let metrics = plain_client().build().unwrap().get(format!("http://{free}/metrics"));
    let text = metrics.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("bulkhead_sidecar_infer_seconds_count{tenant=\"ua\"} 1"), "{text}");
    assert!(text.contains("bulkhead_sidecar_requests_total{code=\"unknown_model\"} 1"), "{text}");
    assert!(text.contains("bulkhead_sidecar_usage_appended_total 1"), "{text}");
    assert!(!text.contains("stranger") && !text.contains("whatever"), "{text}");
    let unknown = answered(sidecar.request(Method::GET, "/metrics")).await;
    assert_eq!(unknown.code(), "passport_missing");
    sidecar.stop().await;
}
