use wasm_host::{Host, VmError};

use crate::support::{get, host, messages, module, on_request, pass, start};

/// Takes a configuration unless it starts with `!`; says what it got; counts requests in a static.
const CONFIGURED: &str = r#"
    (global $requests (mut i32) (i32.const 0))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 1000) (i32.const 0) (i32.const 4)))
      (call $say (i32.load (i32.const 0)) (i32.load (i32.const 4)))
      (i32.ne (i32.const 33) (i32.load8_u (i32.load (i32.const 0)))))
    (func (export "proxy_on_context_create") (param $id i32) (param $root i32)
      (i32.store8 (i32.const 48) (local.get $root)))
    (func (export "proxy_on_done") (param i32) (result i32) (call $say <<done>>) (i32.const 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (global.set $requests (i32.add (global.get $requests) (i32.const 1)))
      (call $answer <<x-requests>> (global.get $requests))
      (call $show <<x-root>> (i32.const 48) (i32.const 1))
      (call $answer <<x-configuration>>
        (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 1000) (i32.const 0) (i32.const 4)))
      (i32.const 0))"#;

#[test]
fn a_configuration_is_tried_in_a_canary_first() {
    let vm = host(CONFIGURED).configuration("one").start().unwrap();
    let logs = vm.logs();
    assert_eq!(messages(&logs), ["one", "one"]);
    assert_eq!(logs.iter().map(|record| record.canary).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_refused_configuration_does_not_start() {
    let refused = host(CONFIGURED).configuration("!bad").start();
    assert!(
        matches!(&refused, Err(VmError::ConfigurationRefused { said }) if said == "!bad"),
        "{refused:?}"
    );
}

#[test]
fn a_guest_that_refuses_to_start_does_not_start() {
    let refused = host(
        r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32)
             (drop (call $get_buffer (i32.const 6) (i32.const 0) (i32.const 1000) (i32.const 0) (i32.const 4)))
             (i32.ne (i32.const 33) (i32.load8_u (i32.load (i32.const 0)))))"#,
    )
    .vm_configuration("!")
    .start();
    assert!(matches!(refused, Err(VmError::StartRefused { .. })));
}

#[test]
fn a_new_configuration_gets_a_new_root_and_statics_survive() {
    let vm = host(CONFIGURED).configuration("one").start().unwrap();
    assert_eq!(pass(&vm).get("x-requests"), Some([1].as_slice()));
    let old_root = pass(&vm).get("x-root").unwrap().to_vec();
    assert_eq!(vm.configure("two"), Ok(true));
    let passed = pass(&vm);
    assert_eq!(passed.get("x-requests"), Some([3].as_slice()));
    assert_ne!(passed.get("x-root").unwrap(), old_root);
    assert_eq!(vm.contexts(), 1);
}

#[test]
fn a_refused_change_leaves_the_running_vm_untouched() {
    let vm = host(CONFIGURED).configuration("one").start().unwrap();
    let old_root = pass(&vm).get("x-root").unwrap().to_vec();
    assert_eq!(vm.configure("!bad"), Ok(false));
    let passed = pass(&vm);
    assert_eq!(passed.get("x-root").unwrap(), old_root);
    assert_eq!(passed.get("x-requests"), Some([2].as_slice()));
    let refused = vm.logs().iter().filter(|record| record.message == "!bad").count();
    assert_eq!(refused, 1);
}

#[test]
fn the_same_configuration_changes_nothing() {
    let vm = host(CONFIGURED).configuration("one").start().unwrap();
    let before = vm.logs();
    assert_eq!(vm.configure("one"), Ok(true));
    assert_eq!(vm.logs(), before);
}

#[test]
fn an_old_root_lives_until_its_last_stream_has_finished() {
    let vm = host(CONFIGURED).configuration("one").start().unwrap();
    let mut stream = vm.request(get());
    stream.request_headers(true).continued().unwrap();
    assert_eq!(vm.configure("two"), Ok(true));
    assert_eq!(vm.contexts(), 3);
    let before = vm.logs().len();
    stream.finish();
    assert_eq!(vm.contexts(), 1);
    // The stream's own end, then the root's.
    assert_eq!(messages(&vm.logs()[before..]), ["done", "done"]);
}

#[test]
fn the_configuration_is_readable_only_while_it_is_handed_over() {
    let vm = host(CONFIGURED).configuration("one").start().unwrap();
    assert_eq!(pass(&vm).get("x-configuration"), Some([1].as_slice()));
}

#[test]
fn a_root_that_is_not_done_lives_until_it_says_so() {
    let vm = start(
        r#"(global $busy (mut i32) (i32.const 0))
           (func (export "proxy_on_configure") (param $id i32) (param i32) (result i32)
             (drop (call $set_tick (i32.const 1))) (i32.const 1))
           (func (export "proxy_on_done") (param $id i32) (result i32)
             (global.set $busy (local.get $id)) (i32.const 0))
           (func (export "proxy_on_delete") (param $id i32)
             (if (i32.eq (local.get $id) (global.get $busy)) (then (call $say <<deleted>>))))
           (func (export "proxy_on_tick") (param $id i32)
             (if (i32.eq (local.get $id) (global.get $busy)) (then (drop (call $done)))))"#,
    );
    assert_eq!(vm.configure("two"), Ok(true));
    assert_eq!(vm.contexts(), 2);
    vm.tick().unwrap();
    assert_eq!(vm.contexts(), 1);
    assert_eq!(messages(&vm.logs()), ["deleted"]);
}

#[test]
fn a_trap_while_configuring_the_canary_is_a_refusal() {
    let functions = r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (if (i32.gt_u (local.get 1) (i32.const 3)) (then unreachable)) (i32.const 1))"#;
    let vm = start(functions);
    assert_eq!(vm.configure("long enough"), Ok(false));
    assert_eq!(vm.failure(), None);
    assert_eq!(vm.configure("ok"), Ok(true));
}

#[test]
fn a_trap_at_the_start_says_what_the_guest_said() {
    let refused =
        host(r#"(func (export "_initialize") (call $say <<no clock>>) unreachable)"#).start();
    let error = refused.expect_err("a trap").to_string();
    assert!(error.contains("_initialize") && error.contains("no clock"), "{error}");
}

#[test]
fn a_refusal_of_the_running_vm_leaves_no_plugin_and_fails_closed() {
    // The canary has its own statics, so only the running VM is at its second configuration.
    let vm = start(
        r#"(global $configured (mut i32) (i32.const 0))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (global.set $configured (i32.add (global.get $configured) (i32.const 1)))
             (i32.lt_u (global.get $configured) (i32.const 2)))"#,
    );
    pass(&vm);
    assert_eq!(vm.configure("two"), Ok(false));
    let response = vm.request(get()).request_headers(true).local_response().unwrap();
    assert_eq!(response.status, 503);
}

#[test]
fn initialisation_runs_before_anything_else() {
    let module = module(&format!(
        r#"(global $ready (mut i32) (i32.const 0))
           (func (export "_initialize") (global.set $ready (i32.const 7)))
           {}"#,
        on_request("(call $answer <<x-ready>> (global.get $ready))")
    ));
    let vm = Host::builder(&module).start().unwrap();
    assert_eq!(pass(&vm).get("x-ready"), Some([7].as_slice()));
}
