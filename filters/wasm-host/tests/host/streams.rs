use wasm_host::{FailurePolicy, Headers, Outcome, Passed};

use crate::support::{get, host, messages, on_request, start};

/// One header, `x-code: no`, as the ABI serialises it.
const PAIRS: &str = "\x01\0\0\0\x06\0\0\0\x02\0\0\0x-code\0no\0";

fn refuse(status: u32) -> String {
    on_request(&format!(
        "(drop (call $respond (i32.const {status}) <<no such tenant>> <<who are you>> <<{PAIRS}>> (i32.const -1)))"
    ))
}

#[test]
fn a_local_response_reaches_the_caller_whole() {
    let vm = start(&refuse(403));
    let response = vm.request(get()).request_headers(true).local_response().unwrap();
    assert_eq!(response.status, 403);
    assert_eq!(response.body, b"who are you");
    assert_eq!(response.details, "no_such_tenant");
    assert_eq!(response.grpc_status, None);
    let expected = [("x-code", "no"), ("content-length", "11"), ("content-type", "text/plain")];
    assert_eq!(response.headers, Headers::from(expected));
}

#[test]
fn after_a_local_response_the_filter_is_not_asked_again() {
    let functions = refuse(403)
        + r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
               (call $say <<body>>) (i32.const 0))"#;
    let vm = start(&functions);
    let mut stream = vm.request(get());
    let first = stream.request_headers(false).local_response().unwrap();
    let second = stream.request_body("x", true).local_response().unwrap();
    assert_eq!(first, second);
    assert_eq!(messages(&vm.logs()), [""; 0]);
}

#[test]
fn a_local_response_goes_through_the_filters_own_response_phase() {
    let functions = refuse(401)
        + r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
               (drop (call $set_header (i32.const 2) <<:status>> <<407>>))
               (drop (call $add_header (i32.const 2) <<x-seen>> <<1>>))
               (i32.const 0))"#;
    let response = start(&functions).request(get()).request_headers(true).local_response().unwrap();
    assert_eq!(response.status, 407);
    assert_eq!(response.headers.get_str("x-seen"), Some("1"));
}

#[test]
fn a_local_response_to_head_has_no_body() {
    let mut headers = get();
    headers.set(":method", "HEAD");
    let vm = start(&refuse(403));
    let response = vm.request(headers).request_headers(true).local_response().unwrap();
    assert_eq!(response.body, b"");
    assert_eq!(response.headers.get_str("content-length"), Some("11"));
}

#[test]
fn a_local_response_in_the_response_phase_replaces_the_upstreams() {
    let vm = start(
        r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
             (drop (call $respond (i32.const 502) <<>> <<bad upstream>> <<>> (i32.const -1)))
             (i32.const 0))"#,
    );
    let mut stream = vm.request(get());
    stream.request_headers(true).continued().unwrap();
    let response = stream
        .response_headers([(":status", "200"), ("x-secret", "1")], true)
        .local_response()
        .unwrap();
    assert_eq!((response.status, response.body.as_slice()), (502, b"bad upstream".as_slice()));
    assert!(!response.headers.contains("x-secret"));
}

#[test]
fn a_paused_request_goes_on_when_the_filter_says_so() {
    let vm = start(
        r#"(global $waiting (mut i32) (i32.const 0))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $set_tick (i32.const 100))) (i32.const 1))
           (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
             (drop (call $add_header (i32.const 0) <<x-held>> <<1>>))
             (global.set $waiting (local.get $id)) (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $act_for (global.get $waiting)))
             (drop (call $continue (i32.const 0))))"#,
    );
    assert_eq!(vm.tick_period().unwrap().as_millis(), 100);
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(true), Outcome::Paused);
    assert_eq!(stream.request_outcome(), Outcome::Paused);
    vm.tick().unwrap();
    let passed = stream.request_outcome().continued().unwrap();
    assert_eq!(passed.headers.get_str("x-held"), Some("1"));
}

#[test]
fn a_paused_request_can_be_answered_from_a_tick() {
    let vm = start(
        r#"(global $waiting (mut i32) (i32.const 0))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $set_tick (i32.const 100))) (i32.const 1))
           (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
             (global.set $waiting (local.get $id)) (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $act_for (global.get $waiting)))
             (drop (call $respond (i32.const 504) <<>> <<late>> <<>> (i32.const -1))))"#,
    );
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(true), Outcome::Paused);
    vm.tick().unwrap();
    assert_eq!(stream.request_outcome().local_response().unwrap().status, 504);
}

#[test]
fn a_body_that_is_paused_is_joined_and_goes_on_as_the_filter_left_it() {
    let vm = start(
        r#"(func (export "proxy_on_request_body") (param $id i32) (param $size i32) (param $end i32) (result i32)
             (if (i32.eqz (local.get $end)) (then (return (i32.const 1))))
             (drop (call $get_buffer (i32.const 0) (i32.const 1) (i32.const -1) (i32.const 0) (i32.const 4)))
             (call $say (i32.load (i32.const 0)) (i32.load (i32.const 4)))
             (drop (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 0) <<[>>))
             (drop (call $set_buffer (i32.const 0) (i32.const 1000) (i32.const 0) <<]>>))
             (i32.const 0))"#,
    );
    let mut stream = vm.request(get());
    stream.request_headers(false).continued().unwrap();
    assert_eq!(stream.request_body("ab", false), Outcome::Paused);
    assert_eq!(stream.request_body("cd", true), Outcome::Continue(b"[abcd]".to_vec()));
    assert_eq!(messages(&vm.logs()), ["bcd"]);
}

#[test]
fn a_response_body_is_replaced_whole() {
    let vm = start(
        r#"(func (export "proxy_on_response_body") (param $id i32) (param $size i32) (param $end i32) (result i32)
             (drop (call $set_buffer (i32.const 1) (i32.const 0) (local.get $size) <<other>>))
             (i32.const 0))"#,
    );
    let mut stream = vm.request(get());
    stream.request_headers(true).continued().unwrap();
    stream.response_headers([(":status", "200")], false).continued().unwrap();
    assert_eq!(stream.response_body("body", true), Outcome::Continue(b"other".to_vec()));
    assert_eq!(
        stream.response_outcome(),
        Outcome::Continue(Passed {
            headers: Headers::from([(":status", "200")]),
            body: Vec::new(),
            trailers: Headers::new(),
        })
    );
}

#[test]
fn a_closed_stream_is_reset() {
    let vm = start(&on_request("(drop (call $close (i32.const 0)))"));
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(true), Outcome::Reset);
    assert_eq!(stream.response_headers([(":status", "200")], true), Outcome::Reset);
}

#[test]
fn a_stream_ends_with_log_done_and_delete_and_leaves_nothing() {
    let vm = start(
        r#"(func (export "proxy_on_context_create") (param i32 i32) (call $say <<create>>))
           (func (export "proxy_on_done") (param i32) (result i32) (call $say <<done>>) (i32.const 1))
           (func (export "proxy_on_delete") (param i32) (call $say <<delete>>))
           (func (export "proxy_on_log") (param i32)
             (drop (call $get_header (i32.const 2) <<:status>> (i32.const 0) (i32.const 4)))
             (call $say (i32.load (i32.const 0)) (i32.load (i32.const 4)))
             (if (i32.eq (i32.const 2) (call $set_header (i32.const 2) <<a>> <<b>>))
               (then (call $say <<read only>>))))"#,
    );
    let before = vm.logs().len();
    let mut stream = vm.request(get());
    stream.request_headers(true);
    stream.response_headers([(":status", "204")], true);
    stream.finish();
    let logs = vm.logs();
    assert_eq!(messages(&logs[before..]), ["create", "204", "read only", "done", "delete"]);
    assert_eq!(vm.contexts(), 1);
}

#[test]
fn streams_are_open_side_by_side() {
    let vm = start(
        r#"(global $open (mut i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (global.set $open (i32.add (global.get $open) (i32.const 1)))
             (call $answer <<x-open>> (global.get $open))
             (i32.const 0))
           (func (export "proxy_on_done") (param i32) (result i32)
             (global.set $open (i32.sub (global.get $open) (i32.const 1)))
             (i32.const 1))"#,
    );
    let open = |stream: &mut wasm_host::Stream| {
        let passed = stream.request_headers(true).continued().unwrap();
        passed.get("x-open").map(<[u8]>::to_vec)
    };
    let (mut first, mut second) = (vm.request(get()), vm.request(get()));
    assert_eq!(open(&mut first), Some(vec![1]));
    assert_eq!(open(&mut second), Some(vec![2]));
    drop(first);
    assert_eq!(open(&mut vm.request(get())), Some(vec![2]));
}

#[test]
fn a_failed_filter_fails_closed_and_says_why() {
    let vm = start(&on_request("unreachable"));
    let response = vm.request(get()).request_headers(true).local_response().unwrap();
    assert_eq!((response.status, response.details.as_str()), (503, "wasm_fail_stream"));
    let failure = vm.failure().unwrap();
    assert_eq!(failure.callback, "proxy_on_request_headers");
    assert!(vm.logs().iter().any(|record| record.message == failure.to_string()));
    let again = vm.request(get()).request_headers(true).local_response().unwrap();
    assert_eq!(again.status, 503);
}

#[test]
fn a_failed_filter_fails_open_where_it_is_told_to() {
    let vm = host(&on_request("unreachable")).failure_policy(FailurePolicy::Open).start().unwrap();
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(true), Outcome::Continue(get()));
    let response = Headers::from([(":status", "200")]);
    assert_eq!(stream.response_headers(response.clone(), true), Outcome::Continue(response));
}
