//! Pausing, going on, and what the two dialects make of it.

use wasm_host::{Dialect, Headers, Outcome, PropertyValue};

use crate::support::{get, host, messages, on_request, pairs, pass, start};

/// Pauses at the headers; says each piece of body; lets the request go on at the last.
const PAUSES: &str = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_request_body") (param i32) (param $size i32) (param $end i32) (result i32)
      (drop (call $get_buffer (i32.const 0) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
      (call $say_given)
      (i32.eqz (local.get $end)))"#;

#[test]
fn by_the_specification_the_body_is_shown_while_the_headers_wait() {
    let vm = host(PAUSES).dialect(Dialect::Specification).start().unwrap();
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(false), Outcome::Paused);
    assert_eq!(stream.request_body("a", false), Outcome::Paused);
    assert_eq!(stream.request_body("b", true), Outcome::Continue(b"ab".to_vec()));
    assert_eq!(messages(&vm.logs()), ["a", "ab"]);
    assert_eq!(stream.request_outcome().continued().unwrap().headers, get());
}

#[test]
fn in_envoy_everything_waits_behind_paused_headers() {
    let vm = start(PAUSES);
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(false), Outcome::Paused);
    assert_eq!(stream.request_body("a", true), Outcome::Paused);
    assert_eq!(messages(&vm.logs()), [""; 0]);
    assert_eq!(stream.request_outcome(), Outcome::Paused);
}

#[test]
fn a_body_that_is_let_go_at_a_tick_goes_with_the_next_piece_or_when_asked_for() {
    let functions = r#"
        (global $stream (mut i32) (i32.const 0))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $set_tick (i32.const 1))) (i32.const 1))
        (func (export "proxy_on_request_body") (param $id i32) (param i32) (param $end i32) (result i32)
          (global.set $stream (local.get $id)) (i32.eqz (local.get $end)))
        (func (export "proxy_on_tick") (param i32)
          (drop (call $act_for (global.get $stream))) (drop (call $continue (i32.const 0))))"#;
    let vm = start(functions);
    let held = || {
        let mut stream = vm.request(get());
        stream.request_headers(false).continued().unwrap();
        assert_eq!(stream.request_body("ab", false), Outcome::Paused);
        vm.tick().unwrap();
        stream
    };
    assert_eq!(held().request_outcome().continued().unwrap().body, b"ab");
    assert_eq!(held().request_body("c", true), Outcome::Continue(b"abc".to_vec()));
}

#[test]
fn trailers_can_be_added_to_the_last_piece_of_a_body_and_to_no_other() {
    let vm = start(
        r#"(func (export "proxy_on_request_body") (param i32) (param i32) (param $end i32) (result i32)
             (call $say_digit (call $add_header (i32.const 1) <<x-digest>> <<abc>>)) (i32.const 0))"#,
    );
    let mut stream = vm.request(get());
    stream.request_headers(false).continued().unwrap();
    stream.request_body("a", false).continued().unwrap();
    stream.request_body("b", true).continued().unwrap();
    assert_eq!(messages(&vm.logs()), ["2", "0"]);
    let passed = stream.request_outcome().continued().unwrap();
    assert_eq!(passed.trailers, Headers::from([("x-digest", "abc")]));
}

#[test]
fn a_local_response_waits_where_its_own_response_phase_is_paused() {
    let vm = start(
        r#"(global $stream (mut i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
             (global.set $stream (local.get $id))
             (drop (call $respond (i32.const 403) <<>> <<no>> <<>> (i32.const -1))) (i32.const 1))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 1))
           (func (export "proxy_on_response_body") (param i32) (param $size i32) (param i32) (result i32)
             (drop (call $set_buffer (i32.const 1) (i32.const 0) (local.get $size) <<never>>)) (i32.const 0))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $set_tick (i32.const 1))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $act_for (global.get $stream))) (drop (call $continue (i32.const 1))))"#,
    );
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(true), Outcome::Paused);
    vm.tick().unwrap();
    let response = stream.request_outcome().local_response().unwrap();
    assert_eq!((response.status, response.body.as_slice()), (403, b"never".as_slice()));
}

#[test]
fn a_local_response_to_grpc_is_grpc() {
    let vm = start(&on_request(
        "(drop (call $respond (i32.const 403) <<>> <<not you>> <<>> (i32.const 16)))",
    ));
    let mut headers = get();
    headers.set("content-type", "application/grpc");
    let response = vm.request(headers).request_headers(true).local_response().unwrap();
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.headers.get_str("content-type"), Some("application/grpc"));
    assert_eq!(response.headers.get_str("grpc-status"), Some("16"));
    assert_eq!(response.headers.get_str("grpc-message"), Some("not you"));
}

#[test]
fn after_an_answer_from_elsewhere_the_filter_sees_no_more_of_the_request() {
    let vm = start(
        r#"(global $stream (mut i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
             (global.set $stream (local.get $id)) (i32.const 0))
           (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
             (call $say <<body>>) (i32.const 0))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $set_tick (i32.const 1))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (drop (call $act_for (global.get $stream)))
             (drop (call $respond (i32.const 429) <<>> <<>> <<>> (i32.const -1))))"#,
    );
    let mut stream = vm.request(get());
    stream.request_headers(false).continued().unwrap();
    vm.tick().unwrap();
    assert_eq!(stream.request_body("x", true).local_response().unwrap().status, 429);
    assert_eq!(messages(&vm.logs()), [""; 0]);
}

#[test]
fn buffers_and_maps_tell_their_size() {
    let vm = start(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $headers_size (i32.const 0) (i32.const 8)))
             (call $answer <<x-size>> (i32.load (i32.const 8)))
             (call $answer <<x-closed>> (call $headers_size (i32.const 2) (i32.const 8)))
             (i32.const 0))
           (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
             (drop (call $buffer_status (i32.const 0) (i32.const 8) (i32.const 12)))
             (call $say_digit (i32.load (i32.const 8)))
             (call $say_digit (call $buffer_status (i32.const 4) (i32.const 8) (i32.const 12)))
             (call $say_digit (call $buffer_status (i32.const 9) (i32.const 8) (i32.const 12)))
             (i32.const 0))"#,
    );
    let mut stream = vm.request(get());
    let passed = stream.request_headers(false).continued().unwrap();
    assert_eq!(usize::from(passed.get("x-size").unwrap()[0]), get().byte_size());
    assert_eq!(passed.get("x-closed"), Some([2].as_slice()));
    stream.request_body("12345", true);
    assert_eq!(messages(&vm.logs()), ["5", "1", "2"]);
}

#[test]
fn a_map_that_is_set_whole_replaces_the_old_one() {
    let new = pairs(&[(":path", "/new"), ("x-b", "2")]);
    let vm = start(&on_request(&format!("(drop (call $set_headers (i32.const 0) <<{new}>>))")));
    assert_eq!(pass(&vm), Headers::from([(":path", "/new"), ("x-b", "2")]));
}

#[test]
fn well_known_properties_follow_from_the_stream_and_others_from_the_test() {
    let vm = host(
        r#"(func $tell (param i32 i32)
             (if (call $get_property (local.get 0) (local.get 1) (i32.const 0) (i32.const 4))
               (then (call $say <<none>>))
               (else (call $say_given))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $tell <<connection\0mtls>>)
             (call $tell <<request\0duration>>)
             (i32.const 0))
           (func (export "proxy_on_log") (param i32)
             (call $tell <<request\0size>>)
             (call $tell <<response\0code>>)
             (call $tell <<request\0method>>))"#,
    )
    .property(&["connection", "mtls"], true)
    .start()
    .unwrap();
    let mut stream = vm.request(get());
    stream.request_headers(false);
    stream.request_body("12345", true);
    stream.response_headers([(":status", "200")], true);
    stream.finish();
    let text = |value: i64| String::from_utf8_lossy(&value.to_le_bytes()).into_owned();
    let expected = ["\u{1}".to_owned(), "none".to_owned(), text(5), text(200), "GET".to_owned()];
    assert_eq!(messages(&vm.logs()), expected);
    assert_ne!(PropertyValue::from(1_i64), PropertyValue::from(true));
}
