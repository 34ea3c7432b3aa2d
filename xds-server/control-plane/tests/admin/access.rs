//! Who may do what.

use std::collections::BTreeSet;

use control_plane::openapi;
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    plane::{EVERYBODY, Plane, SHARED, operators, tenant, token},
    setting::options,
};

/// Every operation of the interface: method, path with a value for each variable, and the roles
/// that the document names.
fn operations() -> Vec<(Method, String, BTreeSet<String>)> {
    let document = serde_json::to_value(openapi()).unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{digest}", &digest)
            .replace("{kind}", "Tenant")
            .replace("{name}", "org_x");
        for (method, operation) in item.as_object().unwrap() {
            let roles = operation["x-bulkhead-roles"].as_array();
            let roles = roles.unwrap_or_else(|| panic!("{method} {path} has no role"));
            let roles = roles.iter().map(|role| role.as_str().unwrap().to_owned()).collect();
            let method = method.to_uppercase().parse().unwrap();
            operations.push((method, path.clone(), roles));
        }
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_is_open_to_the_roles_that_the_document_names_and_to_nobody_else() {
    let plane = Plane::guarded().await;
    let operations = operations();
    assert!(operations.len() >= 18, "{operations:?}");
    for (method, path, roles) in operations {
        for (name, role) in EVERYBODY {
            let may = roles.contains(role) || roles.contains("anyone");
            let answer = plane.call(name, method.clone(), &path, Some(&json!({}))).await;
            let refused = answer.status == 403 && answer.code() == "operator_forbidden";
            assert_eq!(
                refused, !may,
                "{method} {path} by {role}: {} {}",
                answer.status, answer.json
            );
            assert_ne!(answer.status, 401, "{method} {path} by {role}");
            assert_ne!(answer.status, 405, "{method} {path} by {role}");
        }
        let answer = plane.call("", method.clone(), &path, Some(&json!({}))).await;
        let open = roles.contains("anyone");
        assert_eq!(answer.status != 401, open, "{method} {path} by nobody: {}", answer.json);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_of_an_operator_nothing_is_told_or_done() {
    let plane = Plane::guarded().await;
    let ask = || plane.http.get(plane.url("/v1/resources"));
    for request in [
        ask(),
        ask().bearer_auth(""),
        ask().bearer_auth("token-nobody"),
        ask().bearer_auth(token("ada").to_uppercase()),
        ask().basic_auth("ada", Some(token("ada"))),
        ask().header(header::AUTHORIZATION, token("ada")),
        ask().bearer_auth(token("ada")).bearer_auth(token("nobody")),
        plane.http.get(plane.url("/v1/resources?token=token-ada")),
    ] {
        let answer = plane.send(request).await;
        assert_eq!((answer.status, answer.code()), (401, "operator_unauthenticated"));
        assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer realm=\"bulkhead\"");
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
        assert!(answer.json["detail"].as_str().unwrap().contains("BULKHEAD_TOKEN"));
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert_eq!(answer.json["instance"], format!("urn:uuid:{id}"));
    }
    assert_eq!(plane.get("", "/v1/nowhere").await.status, 401, "what there is, is not told");
    assert_eq!(plane.get("vera", "/v1/nowhere").await.code(), "not_found");
    let wrong = plane.call("vera", Method::PATCH, "/v1/resources", None).await;
    assert_eq!((wrong.status, wrong.code()), (405, "method_not_allowed"));
    assert_eq!(plane.get("", "/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_names_who_did_it() {
    let plane = Plane::guarded().await;
    assert_eq!(plane.apply("ed", SHARED).await.status, 200);
    assert_eq!(plane.apply("ada", &format!("{SHARED}{}", tenant("org_a", 1))).await.status, 200);
    let digest = tenancy::Digest::of(b"onnx");
    let url = plane.url(&format!("/v1/artifacts/{digest}"));
    let put = plane.http.put(&url).bearer_auth(token("ed")).body("onnx");
    assert_eq!(plane.send(put).await.status, 200);
    let journal = plane.journal("vera").await;
    let by = |kind: &str| -> Vec<&str> {
        journal.iter().filter(|it| it.0 == kind).map(|it| it.1.as_str()).collect()
    };
    assert_eq!(by("ChangeSetCommitted"), ["bulkhead", "ed", "ada"]);
    assert_eq!(by("ArtifactStored"), ["ed"]);
    let who = plane.get("ed", "/v1/whoami").await.json;
    assert_eq!(who, json!({"name": "ed", "role": "editor"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_shut_out_and_let_in_without_a_restart() {
    let plane = Plane::guarded().await;
    assert_eq!(plane.get("ed", "/v1/status").await.status, 200);
    assert_eq!(plane.get("eve", "/v1/status").await.status, 401);
    std::fs::write(plane.operators_file(), operators(&[("eve", "viewer"), ("ada", "admin")]))
        .unwrap();
    assert_eq!(plane.get("ed", "/v1/status").await.status, 401);
    assert_eq!(plane.get("eve", "/v1/status").await.status, 200);

    std::fs::write(plane.operators_file(), "operators: [{name: eve}]").unwrap();
    assert_eq!(plane.get("eve", "/v1/status").await.status, 200, "a slip shuts nobody out");
    let told = plane.get("ada", "/v1/operators").await.json;
    assert!(told["refusal"].as_str().unwrap().contains("role"), "{told}");
    assert_eq!(told["operators"][0], json!({"name": "eve", "role": "viewer"}));
    assert!(!told.to_string().contains("digest") && !told.to_string().contains("sha256"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_operators_everybody_on_this_machine_is_an_admin() {
    let plane = Plane::open().await;
    let who = plane.get("", "/v1/whoami").await.json;
    assert_eq!(who, json!({"name": "loopback", "role": "admin"}));
    assert_eq!(plane.apply("", SHARED).await.status, 200);
    assert_eq!(plane.get("", "/v1/operators").await.json["configured"], false);
    assert!(plane.journal("").await.contains(&("ChangeSetCommitted".into(), "loopback".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_operators_no_web_page_can_use_the_interface() {
    let plane = Plane::open().await;
    let body = json!({"files": []});
    let post = || plane.http.post(plane.url("/v1/resources")).json(&body);
    for foreign in ["evil.example", "evil.example:18000", "localhost.evil.example", "10.0.0.1"] {
        let answer = plane.send(post().header(header::HOST, foreign)).await;
        assert_eq!((answer.status, answer.code()), (403, "foreign_host"), "{foreign}");
    }
    for foreign in ["https://evil.example", "null", "http://127.0.0.1.evil.example"] {
        let answer = plane.send(post().header(header::ORIGIN, foreign)).await;
        assert_eq!((answer.status, answer.code()), (403, "foreign_origin"), "{foreign}");
    }
    // A form is a request that a page may send to anybody without asking.
    let form = plane.http.post(plane.url("/v1/resources")).body(body.to_string());
    let answer = plane.send(form.header(header::CONTENT_TYPE, "text/plain")).await;
    assert_eq!((answer.status, answer.code()), (415, "unsupported_media_type"));
    let port = plane.running.http.port();
    for local in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
        let answer = plane.send(post().header(header::HOST, &local)).await;
        assert_eq!(answer.status, 200, "{local}: {}", answer.json);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_and_says_why() {
    let plane = Plane::open().await;
    let files = json!([{"name": "a.yaml", "text": ""}]);
    for (path, body, said) in [
        ("/v1/resources", json!({}), "files"),
        ("/v1/resources", json!({"files": files, "expect_seq": 1}), "expect_seq"),
        ("/v1/resources", json!({"files": [{"name": "a", "text": "", "mode": 1}]}), "mode"),
        ("/v1/resources", json!({"files": files, "message": "x".repeat(1025)}), "1024"),
        ("/v1/resources", json!({"files": files, "canary": {}}), "percent"),
        ("/v1/resources", json!({"files": files, "canary": {"percent": 0}}), "1 to 100"),
        (
            "/v1/resources",
            json!({"files": files, "canary": {"percent": 1, "proxy": "a"}}),
            "either",
        ),
        ("/v1/resources", json!({"files": files, "prune": true}), "at least one resource to keep"),
        ("/v1/rollback", json!({"to": "not-a-revision"}), "revision"),
        ("/v1/rollback", json!({"to": 10_000}), "10000"),
        ("/v1/rollback", json!({"to": {}}), "to"),
        ("/v1/usage/events", json!({"event": []}), "event"),
    ] {
        let answer = plane.post("", path, body.clone()).await;
        assert!([400, 404].contains(&answer.status), "{body}: {} {}", answer.status, answer.json);
        let detail = answer.json["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{body}: {detail}");
    }
    for path in [
        "/v1/history?limit=0",
        "/v1/history?limit=1001",
        "/v1/history?newest=1",
        "/v1/journal?from=x",
        "/v1/resources?seq=x",
        "/v1/artifacts/abc",
    ] {
        let answer = plane.get("", path).await;
        assert_eq!((answer.status, answer.code()), (400, "malformed_request"), "{path}");
    }
    let large = "x".repeat(33 << 20);
    let answer = plane.post("", "/v1/diff", json!({"files": [{"name": "a", "text": large}]})).await;
    assert_eq!((answer.status, answer.code()), (413, "body_too_large"));
    let broken =
        plane.http.post(plane.url("/v1/diff")).header(header::CONTENT_TYPE, "application/json");
    let answer = plane.send(broken.body("{")).await;
    assert_eq!((answer.status, answer.code()), (400, "malformed_request"));
    assert_eq!(plane.journal("").await.iter().filter(|it| it.0 == "ChangeSetCommitted").count(), 1);
}

#[tokio::test]
async fn beyond_this_machine_nothing_starts_without_operators_and_tls() {
    let state = tempfile::tempdir().unwrap();
    let exposed =
        control_plane::Options { http: ([0, 0, 0, 0], 0).into(), ..options(state.path()) };
    let refusal = control_plane::start(exposed.clone()).await.err().expect("it started");
    assert!(refusal.to_string().contains("--operators"), "{refusal}");
    let mut with_operators = exposed.clone();
    with_operators.access.operators = Some(state.path().join("operators.yaml"));
    let refusal = control_plane::start(with_operators).await.err().expect("it started");
    assert!(refusal.to_string().contains("--http-tls-cert"), "{refusal}");
    let grpc = control_plane::Options { grpc: ([0, 0, 0, 0], 0).into(), ..options(state.path()) };
    let refusal = control_plane::start(grpc).await.err().expect("it started");
    assert!(refusal.to_string().contains("--grpc"), "{refusal}");
    let mut missing = options(state.path());
    missing.access.operators = Some(state.path().join("absent.yaml"));
    let refusal = control_plane::start(missing).await.err().expect("it started");
    assert!(refusal.to_string().contains("absent.yaml"), "{refusal}");
    assert!(!state.path().join("state").exists(), "a refused start leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_of_problems_and_of_the_document_itself_are_told_to_operators_only() {
    let plane = Plane::guarded().await;
    assert_eq!(plane.get("", "/v1/openapi.json").await.status, 401);
    let told: Value = plane.get("vera", "/v1/openapi.json").await.json;
    assert_eq!(told, serde_json::to_value(openapi()).unwrap());
}
