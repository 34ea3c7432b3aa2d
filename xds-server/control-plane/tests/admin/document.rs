//! The OpenAPI document is the interface, and the file in the repository is the document.

use std::collections::BTreeSet;

use serde_json::Value;

fn document() -> Value {
    serde_json::to_value(control_plane::openapi()).unwrap()
}

/// `BULKHEAD_BLESS=1` writes the file instead; review it as a diff.
#[test]
fn the_document_in_the_repository_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");
    let text = format!("{:#}\n", document());
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == text,
        "xds-server/openapi.json is not that of the code; run this test with BULKHEAD_BLESS=1"
    );
}

#[test]
fn every_operation_says_who_may_what_it_answers_and_how_it_fails() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["securitySchemes"]["operatorToken"]["scheme"], "bearer");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            let roles = operation["x-bulkhead-roles"].as_array().unwrap();
            assert!(!roles.is_empty(), "{at}: nobody may");
            let known = ["anyone", "viewer", "editor", "admin", "node"];
            assert!(roles.iter().all(|role| known.contains(&role.as_str().unwrap())), "{at}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}");
            assert!(operation["summary"].is_string(), "{at}: no summary");
            assert!(operation["responses"]["200"].is_object(), "{at}");
            assert!(operation["responses"]["500"].is_object(), "{at}");
            let open = roles.iter().any(|role| role == "anyone");
            assert_eq!(operation["responses"]["401"].is_object(), !open, "{at}");
            let secured = operation["security"][0].as_object().unwrap();
            assert_eq!(secured.contains_key("operatorToken"), !open, "{at}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                if status.starts_with(['4', '5']) {
                    let content = &response["content"]["application/problem+json"]["schema"];
                    assert_eq!(
                        content["$ref"], "#/components/schemas/ProblemBody",
                        "{at} {status}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_reference_is_to_something() {
    let document = document();
    let mut stack = vec![&document];
    while let Some(value) = stack.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    let pointer = to.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{to} is not there");
                }
                stack.extend(members.values());
            }
            Value::Array(items) => stack.extend(items),
            _ => {}
        }
    }
}
