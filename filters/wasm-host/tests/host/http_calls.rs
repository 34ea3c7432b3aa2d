use std::time::Duration;

use wasm_host::{CalloutError, Headers, HttpResponse, Outcome, TrapReason, Vm};

use crate::support::{get, host, messages, on_request, pairs, pass, start};

/// Asks another service before it lets a request pass, says what came, and passes what got a body.
fn asking() -> String {
    let headers = pairs(&[(":method", "GET"), (":path", "/may"), (":authority", "auth")]);
    format!(
        r#"(global $waiting (mut i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
             (global.set $waiting (local.get $id))
             (call $say_digit (call $http_call <<auth>> <<{headers}>> <<who>> <<>> (i32.const 1000) (i32.const 8)))
             (i32.const 1))
           (func (export "proxy_on_http_call_response")
             (param $root i32) (param $call i32) (param $headers i32) (param $size i32) (param $trailers i32)
             (call $say_digit (local.get $headers))
             (drop (call $get_status (i32.const 8) (i32.const 0) (i32.const 4)))
             (call $say_given)
             (drop (call $act_for (global.get $waiting)))
             (if (i32.eqz (call $get_header (i32.const 6) <<:status>> (i32.const 0) (i32.const 4)))
               (then (call $say_given)))
             (if (i32.eqz (call $get_header (i32.const 7) <<x-trailer>> (i32.const 0) (i32.const 4)))
               (then (call $say_given)))
             (if (i32.eqz (call $get_buffer (i32.const 4) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4)))
               (then (call $say_given)))
             (if (local.get $headers)
               (then (drop (call $continue (i32.const 0))))
               (else (drop (call $respond (i32.const 502) <<>> <<nobody to ask>> <<>> (i32.const -1))))))"#
    )
}

fn paused(vm: &Vm) -> wasm_host::Stream {
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(true), Outcome::Paused);
    stream
}

#[test]
fn the_test_sees_the_call_and_its_answer_lets_the_request_go_on() {
    let vm = start(&asking());
    let mut stream = paused(&vm);
    let call = vm.next_http_call().unwrap();
    assert!(vm.next_http_call().is_none());
    assert_eq!((call.upstream(), call.body()), ("auth", b"who".as_slice()));
    assert_eq!(call.headers().get_str(":path"), Some("/may"));
    assert_eq!(call.headers().get_str("content-length"), Some("3"));
    assert_eq!(call.timeout(), Some(Duration::from_secs(1)));
    assert_eq!(stream.request_outcome(), Outcome::Paused);
    call.respond(HttpResponse::new(200).body("yes").trailers([("x-trailer", "last")])).unwrap();
    assert!(stream.request_outcome().continued().is_some());
    assert_eq!(messages(&vm.logs()), ["0", "1", "", "200", "last", "yes"]);
}

#[test]
fn a_call_that_fails_has_no_headers_and_says_reset() {
    let vm = start(&asking());
    let mut stream = paused(&vm);
    vm.next_http_call().unwrap().fail().unwrap();
    assert_eq!(stream.request_outcome().local_response().unwrap().status, 502);
    // No map and no buffer of an answer can be read.
    assert_eq!(messages(&vm.logs()), ["0", "0", "reset"]);
}

#[test]
fn a_call_times_out_by_the_clock_with_envoys_answer() {
    let vm = start(&asking());
    let mut stream = paused(&vm);
    let call = vm.next_http_call().unwrap();
    vm.advance(Duration::from_millis(999)).unwrap();
    assert_eq!(stream.request_outcome(), Outcome::Paused);
    vm.advance(Duration::from_millis(1)).unwrap();
    assert!(stream.request_outcome().continued().is_some());
    assert_eq!(messages(&vm.logs()), ["0", "3", "", "504", "upstream request timeout"]);
    let id = call.id();
    assert_eq!(call.respond(HttpResponse::new(200)), Err(CalloutError::Over { call: id }));
}

#[test]
fn a_call_of_which_the_test_lets_go_still_times_out() {
    let vm = start(&asking());
    let mut stream = paused(&vm);
    drop(vm.next_http_call());
    vm.advance(Duration::from_secs(2)).unwrap();
    assert!(stream.request_outcome().continued().is_some());
}

#[test]
fn the_answer_comes_when_its_stream_is_gone_and_harms_nobody() {
    let vm = start(&asking());
    drop(paused(&vm));
    vm.next_http_call().unwrap().respond(HttpResponse::new(200)).unwrap();
    assert_eq!(vm.failure(), None);
    assert_eq!(vm.contexts(), 1);
}

#[test]
fn a_call_of_a_plugin_that_is_gone_is_over() {
    let vm = start(&asking());
    drop(paused(&vm));
    let call = vm.next_http_call().unwrap();
    assert_eq!(vm.configure("another"), Ok(true));
    assert!(matches!(call.fail(), Err(CalloutError::Over { .. })));
}

#[test]
fn a_guest_that_traps_on_an_answer_is_told_to_who_answered() {
    let trap =
        r#"(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) unreachable)"#;
    let headers = pairs(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
    let vm = start(
        &(on_request(&format!(
            "(drop (call $http_call <<a>> <<{headers}>> <<>> <<>> (i32.const 0) (i32.const 8)))"
        )) + trap),
    );
    pass(&vm);
    match vm.next_http_call().unwrap().respond(HttpResponse::new(200)) {
        Err(CalloutError::Trap(trap)) => assert_eq!(trap.reason, TrapReason::Unreachable),
        other => panic!("expected a trap, found {other:?}"),
    }
}

#[test]
fn calls_that_cannot_be_made_are_refused_as_the_abi_says() {
    let whole = pairs(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
    let partial = pairs(&[(":method", "GET"), (":path", "/")]);
    let call = |name: &str, upstream: &str, headers: &str, timeout: i32, place: u32| {
        format!(
            "(call $answer <<{name}>> (call $http_call <<{upstream}>> <<{headers}>> <<>> <<>>
               (i32.const {timeout}) (i32.const {place})))"
        )
    };
    let vm = host(&on_request(
        &[
            call("x-good", "known", &whole, 0, 8),
            call("x-unknown", "elsewhere", &whole, 0, 8),
            call("x-broken", "broken", &whole, 0, 8),
            call("x-no-authority", "known", &partial, 0, 8),
            call("x-not-pairs", "known", "not pairs", 0, 8),
            call("x-negative", "known", &whole, -1, 8),
            call("x-nowhere", "known", &whole, 0, 0x7fff_ffff),
        ]
        .concat(),
    ))
    .upstream("known")
    .broken_upstream("broken")
    .start()
    .unwrap();
    let passed = pass(&vm);
    let answers = [
        ("x-good", 0),
        ("x-unknown", 2),
        ("x-broken", 10),
        ("x-no-authority", 2),
        ("x-not-pairs", 2),
        ("x-negative", 2),
        ("x-nowhere", 6),
    ];
    for (name, status) in answers {
        assert_eq!(passed.get(name), Some([status].as_slice()), "{name}");
    }
    assert!(vm.next_http_call().is_some());
    assert!(vm.next_http_call().is_none());
}

#[test]
fn a_guest_that_calls_without_end_is_told_so() {
    let headers = pairs(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
    let vm = start(&on_request(&format!(
        r#"(local $status i32)
           (loop $more
             (local.set $status (call $http_call <<a>> <<{headers}>> <<>> <<>> (i32.const 0) (i32.const 8)))
             (br_if $more (i32.eqz (local.get $status))))
           (call $answer <<x-status>> (local.get $status))"#
    )));
    assert_eq!(pass(&vm).get("x-status"), Some([10].as_slice()));
}

#[test]
fn a_request_that_waits_keeps_its_body_and_shows_it_once_it_goes_on() {
    let functions = asking()
        + r#"(func (export "proxy_on_request_body") (param i32) (param $size i32) (param $end i32) (result i32)
               (drop (call $get_buffer (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4)))
               (call $say_given)
               (i32.const 0))
             (func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
               (call $say <<trailers>>) (i32.const 0))"#;
    let vm = start(&functions);
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(false), Outcome::Paused);
    assert_eq!(stream.request_body("one ", false), Outcome::Paused);
    assert_eq!(stream.request_body("two", false), Outcome::Paused);
    assert_eq!(stream.request_trailers([("a", "b")]), Outcome::Paused);
    assert_eq!(messages(&vm.logs()), ["0"]);
    vm.next_http_call().unwrap().respond(HttpResponse::new(204)).unwrap();
    assert_eq!(messages(&vm.logs()), ["0", "1", "", "204", "", "one two", "trailers"]);
    let passed = stream.request_outcome().continued().unwrap();
    assert_eq!((passed.headers, passed.body), (get(), b"one two".to_vec()));
    assert_eq!(passed.trailers, Headers::from([("a", "b")]));
}
