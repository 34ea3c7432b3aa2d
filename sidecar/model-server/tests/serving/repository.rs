//! What is in memory, and what was done with it: the index, statistics, and the operator's loading
//! and unloading.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenancy::Digest;

use crate::{
    INFER,
    node::{Home, answered, onnx, plain_client},
    plane::{PATIENCE, Plane, model},
    three_tenants,
};

const TOKEN: &str = "bulkhead_an_operators_token";

#[tokio::test]
async fn a_tenant_sees_its_own_models_and_statistics_and_no_neighbours() {
    let (plane, _home, sidecar) = three_tenants().await;
    let (ua, aa) = (plane.passport("ua"), plane.passport("aa"));
    assert_eq!(sidecar.predict(INFER, &ua).await.status, StatusCode::OK);
    let index = async |passport: &str| {
        let request = sidecar.request(Method::POST, "/v2/repository/index");
        answered(request.header("x-bulkhead-passport", passport)).await.body
    };
    let entry = |name: &str, version: &str, state: &str, reason: &str| json!({"name": name, "version": version, "state": state, "reason": reason});
    assert_eq!(index(&ua).await, json!([entry("air-time", "ua-1", "READY", "")]));
    // Whether they are in memory by now is the node's to choose.
    let theirs = index(&aa).await;
    let names: Vec<_> =
        theirs.as_array().unwrap().iter().map(|it| (&it["name"], &it["version"])).collect();
    let named = |name: &str, version: &str| (json!(name), json!(version));
    let expected = [named("air-time", "aa-1"), named("secret", "aa-2")];
    assert_eq!(names, expected.each_ref().map(|(name, version)| (name, version)));

    let statistics = async |path: &str, passport: &str| sidecar.get(path, passport).await.body;
    let own = statistics("/v2/models/air-time/stats", &ua).await;
    let own = &own["model_stats"][0];
    assert_eq!((&own["name"], &own["version"]), (&json!("air-time"), &json!("ua-1")));
    assert_eq!((&own["inference_count"], &own["execution_count"]), (&json!(1), &json!(1)));
    assert_eq!(own["inference_stats"]["success"]["count"], 1);
    assert!(own["inference_stats"]["compute_infer"]["ns"].as_u64() > Some(0));
    let theirs = statistics("/v2/models/stats", &aa).await;
    let counts: Vec<&Value> =
        theirs["model_stats"].as_array().unwrap().iter().map(|it| &it["execution_count"]).collect();
    assert_eq!(counts, [0, 0]);
    let secret = sidecar.get("/v2/models/secret/stats", &ua).await;
    assert_eq!(secret.code(), "unknown_model");
    for verb in ["load", "unload"] {
        let path = format!("/v2/repository/models/ua/air-time/{verb}");
        let request = sidecar.request(Method::POST, &path).header("x-bulkhead-passport", &ua);
        assert_eq!(answered(request).await.code(), "not_found");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn only_an_operators_token_loads_and_unloads_and_only_at_the_nodes_own_address() {
    let mut plane = Plane::start().await;
    let digest = plane.artifact(onnx("ua"));
    plane.assign("ua", "bridge", vec![model("air-time", "1", "m", digest, &["ua"])]);
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let operators = vec![Digest::of(TOKEN.as_bytes()).hex().parse().unwrap()];
    let home = Home { metrics: Some(own), operators, ..Home::new() };
    let sidecar = home.start_ready(&plane).await;
    let client = plain_client().build().unwrap();
    let ask = async |path: &str, token: &str| {
        let request = client.post(format!("http://{own}/v2/repository/{path}")).bearer_auth(token);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let state = async || {
        let (status, index) = ask("index", TOKEN).await;
        assert_eq!(status, StatusCode::OK, "{index}");
        let index: Value = serde_json::from_str(&index).unwrap();
        assert_eq!(index[0]["name"], "ua/air-time");
        index[0]["state"].as_str().unwrap().to_owned()
    };
    // A node loads by itself what it is assigned, which is not to happen in between.
    let ready = async {
        while state().await != "READY" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.unwrap();
    assert_eq!(ask("models/ua/air-time/unload", TOKEN).await.0, StatusCode::OK);
    assert_eq!(state().await, "UNAVAILABLE");
    assert_eq!(ask("models/ua/air-time/load", TOKEN).await.0, StatusCode::OK);
    assert_eq!(state().await, "READY");
    assert_eq!(ask("models/ua/air-time/unload", TOKEN).await.0, StatusCode::OK);
    assert_eq!(state().await, "UNAVAILABLE");
    let passport = plane.passport("ua");
    for (path, token, status) in [
        ("models/ua/air-time/load", "bulkhead_another", StatusCode::UNAUTHORIZED),
        ("models/ua/air-time/load", &passport, StatusCode::UNAUTHORIZED),
        ("index", &passport, StatusCode::UNAUTHORIZED),
        ("models/ua/other/load", TOKEN, StatusCode::NOT_FOUND),
        ("models/aa/air-time/load", TOKEN, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(ask(path, token).await.0, status, "{path}");
    }
    assert_eq!(sidecar.predict(INFER, &passport).await.status, StatusCode::OK);
    sidecar.stop().await;
}
