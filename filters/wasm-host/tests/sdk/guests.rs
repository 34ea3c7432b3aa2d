//! The filters of `guests`.

use std::time::Duration;

use wasm_host::{
    ConnectionOutcome, GrpcMessage, GrpcStreamState, Host, HttpResponse, Metrics, Outcome, Peer,
    SharedQueues,
};

use crate::build::guest;
use crate::checks::{CHECKS, get, passed, paused, start};

fn check(name: &str) {
    let (_, check) = CHECKS.iter().find(|(example, _)| *example == name).unwrap();
    check(&guest(name));
}

#[test]
fn hello_world_greets_and_ticks() {
    check("hello_world");
}

#[test]
fn http_auth_random_asks_before_a_request_passes() {
    check("http_auth_random");
}

#[test]
fn http_body_takes_secrets_away() {
    check("http_body");
}

#[test]
fn http_config_adds_what_it_is_configured_with() {
    check("http_config");
}

#[test]
fn http_headers_logs_and_answers() {
    check("http_headers");
}

#[test]
fn grpc_auth_random_asks_before_a_grpc_request_passes() {
    check("grpc_auth_random");
}

#[test]
fn http_parallel_call_waits_for_both_answers_in_any_order() {
    let vm = start(&guest("http_parallel_call"));
    let mut stream = paused(&vm, get("/"));
    let (profile, quota) = (vm.next_http_call().unwrap(), vm.next_http_call().unwrap());
    assert_eq!((profile.upstream(), quota.upstream()), ("profile", "quota"));
    quota.respond(HttpResponse::new(200).body("17")).unwrap();
    assert_eq!(stream.request_outcome(), Outcome::Paused);
    profile.respond(HttpResponse::new(200).body("gold")).unwrap();
    let headers = stream.request_outcome().continued().unwrap().headers;
    assert_eq!(headers.get_str("x-profile"), Some("gold"));
    assert_eq!(headers.get_str("x-quota"), Some("17"));
}

#[test]
fn http_parallel_call_answers_for_the_one_that_fails() {
    let vm = start(&guest("http_parallel_call"));
    let mut stream = paused(&vm, get("/"));
    let (profile, quota) = (vm.next_http_call().unwrap(), vm.next_http_call().unwrap());
    profile.fail().unwrap();
    let refusal = stream.request_outcome().local_response().unwrap();
    assert_eq!((refusal.status, refusal.headers.get_str("x-failed")), (502, Some("x-profile")));
    assert_eq!(refusal.headers.get_str("x-status"), Some("none"));
    // The other one may still come; nobody waits for it.
    quota.respond(HttpResponse::new(200)).unwrap();
    let mut late = paused(&vm, get("/"));
    vm.advance(Duration::from_millis(250)).unwrap();
    let refusal = late.request_outcome().local_response().unwrap();
    assert_eq!(refusal.headers.get_str("x-status"), Some("504"));
    assert_eq!(vm.failure(), None);
}

#[test]
fn http_parallel_call_says_that_it_cannot_ask() {
    let vm = Host::builder(&guest("http_parallel_call")).upstream("profile").start().unwrap();
    let refusal = vm.request(get("/")).request_headers(true).local_response().unwrap();
    assert_eq!((refusal.status, refusal.body), (500, b"cannot ask".to_vec()));
}

#[test]
fn grpc_stream_talks_with_a_service() {
    let vm = Host::builder(&guest("grpc_stream")).canary(false).start().unwrap();
    let stream = vm.next_grpc_stream().unwrap();
    assert_eq!((stream.service(), stream.method()), ("a.Directory", "Watch"));
    assert_eq!(stream.initial_metadata().get_str("x-watcher"), Some("guest"));
    let sent = |bytes: &str| Some(GrpcMessage { bytes: bytes.into(), end_of_stream: false });
    assert_eq!(stream.next_message(), sent("everything"));
    stream.send_initial_metadata([("x-version", "3")]).unwrap();
    stream.send("first").unwrap();
    assert_eq!(stream.next_message(), sent("heard"));
    stream.send("enough").unwrap();
    assert_eq!(stream.state(), GrpcStreamState::ClosedByGuest);
    stream.send_trailing_metadata([("a", "1"), ("b", "2")]).unwrap();
    stream.close(0, "bye").unwrap();
    assert_eq!(stream.state(), GrpcStreamState::Over);
    let lines: Vec<String> = vm.logs().into_iter().map(|record| record.message).collect();
    assert_eq!(
        lines,
        ["version 3", "heard first", "heard enough", "2 trailers", "closed with 0: bye"]
    );
}

#[test]
fn queue_audit_reaches_a_listener_in_another_vm() {
    let (module, queues, metrics) = (guest("queue_audit"), SharedQueues::new(), Metrics::new());
    let host = || Host::builder(&module).shared_queues(&queues).metrics(&metrics);
    let worker = host().vm_id("worker").start().unwrap();
    let refusal = worker.request(get("/early")).request_headers(true).local_response().unwrap();
    assert_eq!(refusal.body, b"nobody audits");
    let listener = host().vm_id("auditor").configuration("listen").start().unwrap();
    drop(passed(&worker, get("/one")));
    drop(passed(&worker, get("/two")));
    assert_eq!(queues.len("auditor", "audit"), Some(2));
    listener.run_due().unwrap();
    assert_eq!(metrics.value("audited"), Some(2));
    assert_eq!(queues.len("auditor", "audit"), Some(0));
}

#[test]
fn tcp_lines_holds_changes_and_closes() {
    let vm = start(&guest("tcp_lines"));
    let mut connection = vm.connection().property(&["source", "address"], "10.0.0.7:1");
    assert_eq!(connection.open(), ConnectionOutcome::Continue(()));
    assert_eq!(connection.downstream_data("hel", false), ConnectionOutcome::Paused);
    assert_eq!(connection.downstream_data("lo\n", false).continued().unwrap(), b"1: hello\n");
    assert_eq!(connection.downstream_data("again\n", false).continued().unwrap(), b"2: again\n");
    assert_eq!(connection.upstream_data("welcome", false).continued().unwrap(), b"WELCOME");
    assert_eq!(connection.downstream_data("quit\n", false), ConnectionOutcome::Closed);
    let mut second = vm.connection();
    second.open();
    assert_eq!(second.upstream_data("bye", true).continued().unwrap(), b"BYE");
    second.close_downstream(Peer::Remote);
    let lines: Vec<String> = vm.logs().into_iter().map(|record| record.message).collect();
    let expected = [
        "connection of 10.0.0.7:1",
        "closed by Local after 2 lines",
        "logged",
        "connection of ",
        "backend closed by Unknown",
        "closed by Remote after 0 lines",
        "logged",
    ];
    assert_eq!(lines, expected);
    assert_eq!(vm.contexts(), 1);
}

#[test]
fn all_of_them_run_side_by_side() {
    std::thread::scope(|scope| {
        for (name, check) in CHECKS {
            scope.spawn(move || check(&guest(name)));
        }
    });
}
