//! What a scenario's file may say, and how its mistakes are told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use proptest::prelude::*;
use scenario::{Deployment, Error, Native, Scenario, Verification, format::Change, play};

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse(Path::new("s/a.yaml"), text).map_err(|mistakes| mistakes.to_string())
}

fn mistake(text: &str) -> String {
    parse(text).unwrap_err()
}

const KEPT: &str = "    expect: { forwarded: { tenant: org_ua, data_plane: shared } }\n";

#[test]
fn the_shipped_deployment_has_no_mistakes() {
    let deployment = Deployment::shipped().unwrap();
    assert_eq!(deployment.data_planes().collect::<Vec<_>>(), ["shared", "silo-dl"]);
}

#[test]
fn a_misspelt_field_is_refused_with_its_place() {
    let text = format!("promise: A.\nrequests:\n  - tokn: {{ issuer: ua }}\n{KEPT}");
    let told = mistake(&text);
    assert!(told.starts_with("s/a.yaml:3:"), "{told}");
    assert!(told.contains("tokn"), "{told}");
}

#[test]
fn an_expectation_says_one_outcome() {
    let two = "promise: A.\nrequests:\n  - expect: { shadow: { a: 1 } }\n";
    assert!(mistake(two).contains("expected one of `forwarded`, `denied`, `limited`, "));
}

#[test]
fn a_mistake_in_a_given_resource_is_told_with_its_place_in_the_scenario() {
    let text = format!(
        "promise: A.\ngiven:\n  - remove: Tenant/org_wn\n  # Here.\n  - apiVersion: \
         bulkhead.dev/v1\n    kind: Tenant\n    metadata: {{ name: org_new }}\n    spec:\n      \
         teir: pool\n      dataPlane: shared\nrequests:\n  - token: {{ issuer: ua }}\n{KEPT}"
    );
    let told = mistake(&text);
    assert!(told.starts_with("s/a.yaml:9:7"), "{told}");
    assert!(told.contains("teir"), "{told}");
}

#[test]
fn given_resources_are_read_however_they_are_laid_out() {
    let text = format!(
        "promise: A.\ngiven:\n- {{ apiVersion: bulkhead.dev/v1, kind: Tenant,\n    metadata: {{ \
         name: a }}, spec: {{ tier: pool, dataPlane: shared }} }}\n-\n  apiVersion: \
         bulkhead.dev/v1\n  kind: Tenant\n\n  metadata:\n    name: b\n  spec: {{ tier: pool, \
         dataPlane: shared }}\nrequests:\n  - token: {{ issuer: ua }}\n{KEPT}"
    );
    let scenario = parse(&text).unwrap();
    let names: Vec<String> = scenario
        .given
        .iter()
        .map(|change| match change {
            Change::Resource(resource) => resource.id(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["Tenant/a", "Tenant/b"]);
}

#[test]
fn a_scenario_that_sets_the_time_says_why_it_is_not_run_over_envoy() {
    let sets = |more: &str| {
        format!(
            "promise: A.\n{more}requests:\n  - at: 2026-12-24T18:00:00Z\n    token: {{ issuer: ua \
             }}\n{KEPT}"
        )
    };
    assert!(mistake(&sets("")).contains("nobody sets Envoy's clock"));
    assert!(mistake(&sets("skip: { envoy: '' }\n")).contains("expected a reason"));
    parse(&sets("skip: { envoy: Its clock cannot be set to Christmas. }\n")).unwrap();
    let waits = |time: &str| {
        format!("promise: A.\nrequests:\n  - after: {time}\n    token: {{ issuer: ua }}\n{KEPT}")
    };
    parse(&waits("2s")).unwrap();
    assert!(mistake(&waits("1h")).contains("nobody sets Envoy's clock"));
    assert!(mistake(&waits("-1s")).contains("to lie ahead"));
}

#[test]
fn what_is_sent_again_is_the_request_before_it_and_nothing_else() {
    let first = format!("promise: A.\nrequests:\n  - again: true\n{KEPT}");
    assert!(mistake(&first).contains("a request before the one that is sent again"));
    let more = format!(
        "promise: A.\nrequests:\n  - token: {{ issuer: ua }}\n{KEPT}  - again: true\n    path: \
         /other\n{KEPT}"
    );
    assert!(mistake(&more).contains("expected `again: true` alone"));
}

#[test]
fn a_name_that_the_deployment_does_not_have_is_told_with_those_that_it_has() {
    let text = format!("promise: A.\nrequests:\n  - token: {{ issuer: au }}\n{KEPT}");
    let scenario = parse(&text).unwrap();
    let mut native = Native::new(Verification::ByHost);
    let error = play(&Deployment::shipped().unwrap(), &scenario, &mut native).unwrap_err();
    assert!(matches!(&error, Error::At { line: 3, .. }), "{error}");
    assert!(error.to_string().contains("found `au`; there is: b6, dl, group, ua"), "{error}");
}

#[test]
fn a_check_that_is_nowhere_is_told_with_its_place() {
    let text = format!(
        "promise: A.\ngiven:\n  - check: no-such\nrequests:\n  - token: {{ issuer: ua }}\n{KEPT}"
    );
    let scenario = parse(&text).unwrap();
    let mut native = Native::new(Verification::ByHost);
    let error = play(&Deployment::shipped().unwrap(), &scenario, &mut native).unwrap_err();
    assert!(error.to_string().starts_with("s/a.yaml:3:5: error: expected a check of"), "{error}");
}

proptest! {
    #[test]
    fn no_text_panics_the_reader(
        text in "(?s).{0,120}",
        given in "[-a-z:{}\\[\\] \n#'\"&*]{0,80}",
    ) {
        let _ = parse(&text);
        let _ = parse(&format!("promise: A.\ngiven:\n  - {given}\nrequests:\n{KEPT}"));
    }
}
