use std::time::Duration;

use wasm_host::{Clock, Dialect, FailurePolicy, Headers, LogLevel, Outcome};

use crate::support::{get, host, messages, on_request, pass, start};

/// Is done with a stream only when it says so at a tick.
const LINGERS: &str = r#"
    (global $stream (mut i32) (i32.const 0))
    (func (export "proxy_on_context_create") (param $id i32) (param $root i32)
      (if (local.get $root) (then (global.set $stream (local.get $id)))))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $set_tick (i32.const 1))) (i32.const 1))
    (func (export "proxy_on_tick") (param i32)
      (drop (call $act_for (global.get $stream))) (call $say_digit (call $done)))
    (func (export "proxy_on_done") (param i32) (result i32) (call $say <<done>>) (i32.const 0))
    (func (export "proxy_on_log") (param i32)
      (drop (call $get_header (i32.const 0) <<:path>> (i32.const 0) (i32.const 4)))
      (call $say_given))
    (func (export "proxy_on_delete") (param i32) (call $say <<delete>>))"#;

#[test]
fn by_the_specification_a_stream_lives_until_the_guest_is_done_with_it() {
    let vm = host(LINGERS).dialect(Dialect::Specification).start().unwrap();
    pass(&vm);
    assert_eq!(messages(&vm.logs()), ["done"]);
    assert_eq!(vm.contexts(), 2);
    vm.tick().unwrap();
    assert_eq!(messages(&vm.logs()), ["done", "0", "/a?b=c", "delete"]);
    assert_eq!(vm.contexts(), 1);
}

#[test]
fn in_envoy_a_stream_goes_whatever_the_guest_answers() {
    let vm = start(LINGERS);
    pass(&vm);
    assert_eq!(messages(&vm.logs()), ["/a?b=c", "done", "delete"]);
    assert_eq!(vm.contexts(), 1);
    // Nothing waits to be done.
    vm.tick().unwrap();
    assert_eq!(vm.logs().last().unwrap().message, "1");
}

#[test]
fn a_plugin_that_shuts_down_is_told_and_one_that_is_busy_is_waited_for() {
    let quick = start(r#"(func (export "proxy_on_delete") (param i32) (call $say <<gone>>))"#);
    assert!(quick.shut_down());
    assert_eq!(messages(&quick.logs()), ["gone"]);
    assert!(quick.request(get()).request_headers(true).local_response().is_some());
    let busy = start(LINGERS);
    assert!(!busy.shut_down());
    assert_eq!(busy.contexts(), 1);
    busy.tick().unwrap();
    assert_eq!(busy.contexts(), 0);
}

/// Counts requests in a static; `/trap` traps.
const FRAGILE: &str = r#"
    (global $requests (mut i32) (i32.const 0))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (global.set $requests (i32.add (global.get $requests) (i32.const 1)))
      (call $answer <<x-requests>> (global.get $requests))
      (drop (call $get_header (i32.const 0) <<:path>> (i32.const 0) (i32.const 4)))
      (if (i32.eq (i32.load (i32.load (i32.const 0))) (i32.const 0x6172742f)) (then unreachable))
      (i32.const 0))"#;

fn trap() -> Headers {
    Headers::from([(":method", "GET"), (":path", "/trap"), (":authority", "a")])
}

#[test]
fn a_filter_that_traps_denies_until_it_is_reloaded() {
    let clock = Clock::default();
    let policy = FailurePolicy::Reload { after: Duration::from_secs(1) };
    let vm = host(FRAGILE).clock(&clock).failure_policy(policy).start().unwrap();
    pass(&vm);
    let mut old = vm.request(trap());
    assert_eq!(old.request_headers(true).local_response().unwrap().status, 503);
    clock.advance(Duration::from_millis(999));
    assert_eq!(vm.request(get()).request_headers(true).local_response().unwrap().status, 503);
    assert_eq!(vm.restarts(), 0);
    clock.advance(Duration::from_millis(1));
    // Its statics begin again.
    assert_eq!(pass(&vm).get("x-requests"), Some([1].as_slice()));
    assert_eq!((vm.restarts(), vm.failure()), (1, None));
    // A stream of the old one stays refused.
    assert!(old.response_headers([(":status", "200")], true).local_response().is_some());
}

#[test]
fn one_that_has_lived_long_enough_is_reloaded_at_once() {
    let clock = Clock::default();
    let policy = FailurePolicy::Reload { after: Duration::from_secs(1) };
    let vm = host(FRAGILE).clock(&clock).failure_policy(policy).start().unwrap();
    clock.advance(Duration::from_secs(60));
    let _ = vm.request(trap()).request_headers(true);
    pass(&vm);
    assert_eq!(vm.restarts(), 1);
}

#[test]
fn a_failed_filter_comes_back_with_a_new_configuration_or_when_it_is_told_to() {
    let vm = start(FRAGILE);
    let _ = vm.request(trap()).request_headers(true);
    assert_eq!(vm.configure("new"), Ok(true));
    pass(&vm);
    let _ = vm.request(trap()).request_headers(true);
    assert!(vm.failure().is_some());
    vm.restart().unwrap();
    assert_eq!(pass(&vm).get("x-requests"), Some([1].as_slice()));
    assert_eq!(vm.restarts(), 2);
}

#[test]
fn a_stream_that_waits_is_refused_when_the_guest_fails_elsewhere() {
    let vm = start(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
           (func (export "proxy_on_tick") (param i32) unreachable)
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $set_tick (i32.const 1))) (i32.const 1))"#,
    );
    let mut stream = vm.request(get());
    assert_eq!(stream.request_headers(true), Outcome::Paused);
    vm.tick().unwrap_err();
    assert_eq!(stream.request_outcome().local_response().unwrap().status, 503);
}

#[test]
fn a_vm_without_a_canary_is_configured_once() {
    let says = r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
        (call $say <<configured>>) (i32.const 1))"#;
    let vm = host(says).canary(false).start().unwrap();
    assert_eq!(messages(&vm.logs()), ["configured"]);
    assert!(!vm.logs()[0].canary);
}

#[test]
fn foreign_code_calls_the_guest_back() {
    let functions = r#"
        (func (export "proxy_on_foreign_function") (param i32) (param $function i32) (param $size i32)
          (call $say_digit (local.get $function))
          (drop (call $get_buffer (i32.const 8) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
          (call $say_given))"#
        .to_owned()
        + &on_request(
            "(call $answer <<x-outside>> (call $get_buffer (i32.const 8) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))",
        );
    let vm = start(&functions);
    vm.foreign_callback(7, "arguments").unwrap();
    assert_eq!(messages(&vm.logs()), ["7", "arguments"]);
    let mut stream = vm.request(get());
    let passed = stream.request_headers(true).continued().unwrap();
    assert_eq!(passed.get("x-outside"), Some([1].as_slice()));
    stream.foreign_callback(8, "of a stream").unwrap();
    assert_eq!(vm.logs().last().unwrap().message, "of a stream");
}

#[test]
fn the_log_level_can_change_while_the_guest_runs() {
    let vm = start(&on_request(
        "(drop (call $get_level (i32.const 8))) (call $answer <<x-level>> (i32.load (i32.const 8)))
         (call $say <<info>>)",
    ));
    assert_eq!(pass(&vm).get("x-level"), Some([0].as_slice()));
    vm.set_log_level(LogLevel::Warn);
    assert_eq!(pass(&vm).get("x-level"), Some([3].as_slice()));
    assert_eq!(messages(&vm.logs()), ["info"]);
}
