use wasm_host::{Host, Module, ModuleError, TrapReason, VmError};

use crate::support::{engine, filter, get, host, module, on_request, pass, start};

#[test]
fn a_loop_without_end_runs_out_of_fuel() {
    let vm = host(&on_request("(loop $for_ever (br $for_ever))")).fuel(100_000).start().unwrap();
    let refused = vm.request(get()).request_headers(true).local_response().unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(vm.failure().unwrap().reason, TrapReason::OutOfFuel);
}

#[test]
fn every_call_has_its_own_fuel() {
    // About half of the fuel is used by each request, so that only the sum is over the limit.
    let spin = r#"(local $i i32)
        (loop $more
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const 8000))))"#;
    let vm = host(&on_request(spin)).fuel(100_000).start().unwrap();
    for _ in 0..10 {
        pass(&vm);
    }
}

#[test]
fn copying_from_the_host_costs_fuel() {
    let copy = r#"(loop $more
          (drop (call $log (i32.const 0) (i32.const 0) (i32.const 60000)))
          (br $more))"#;
    let vm = host(&on_request(copy)).fuel(1_000_000).start().unwrap();
    let _ = vm.request(get()).request_headers(true);
    assert_eq!(vm.failure().unwrap().reason, TrapReason::OutOfFuel);
    assert!(vm.logs().len() < 20, "{} lines", vm.logs().len());
}

#[test]
fn memory_grows_no_further_than_its_limit() {
    let vm = host(&on_request(
        "(call $answer <<x-first>> (i32.eq (i32.const -1) (memory.grow (i32.const 4))))
         (call $answer <<x-second>> (i32.eq (i32.const -1) (memory.grow (i32.const 1))))",
    ))
    .memory_limit(8 * 65_536)
    .start()
    .unwrap();
    let passed = pass(&vm);
    assert_eq!(passed.get("x-first"), Some([0].as_slice()));
    assert_eq!(passed.get("x-second"), Some([1].as_slice()));
    assert_eq!(vm.memory_bytes(), 8 * 65_536);
}

#[test]
fn a_module_that_starts_over_the_memory_limit_does_not_start() {
    let refused = host("").memory_limit(65_536).start();
    assert!(matches!(refused, Err(VmError::Instantiate { .. })), "{refused:?}");
}

#[test]
fn a_guest_that_reaches_outside_its_memory_fails_alone() {
    let module = module(&on_request("(drop (i32.load (i32.const 0x7fffffff)))"));
    let vm = Host::builder(&module).start().unwrap();
    let _ = vm.request(get()).request_headers(true);
    assert_eq!(vm.failure().unwrap().reason, TrapReason::MemoryOutOfBounds);
    assert_eq!(Host::builder(&module).start().unwrap().failure(), None);
}

#[test]
fn pointers_outside_memory_are_answered_with_a_status() {
    let vm = start(&on_request(
        "(call $answer <<x-key>> (call $get_header (i32.const 0) (i32.const -4) (i32.const 8) (i32.const 0) (i32.const 4)))
         (call $answer <<x-size>> (call $get_header (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 4)))
         (call $answer <<x-return>> (call $get_header (i32.const 0) <<:path>> (i32.const -2) (i32.const 4)))
         (call $answer <<x-time>> (call $now (i32.const -8)))
         (call $answer <<x-wasi>> (call $random (i32.const -8) (i32.const 9)))",
    ));
    let passed = pass(&vm);
    for name in ["x-key", "x-size", "x-return", "x-time"] {
        assert_eq!(passed.get(name), Some([6].as_slice()), "{name}");
    }
    assert_eq!(passed.get("x-wasi"), Some([21].as_slice()));
}

#[test]
fn an_allocator_that_traps_ends_the_call() {
    let text = filter(&on_request(
        "(drop (call $get_header (i32.const 0) <<:path>> (i32.const 0) (i32.const 4)))",
    ))
    .replace("    (global.get $heap)\n", "    unreachable\n");
    let vm = Host::builder(&Module::compile(engine(), text).unwrap()).start().unwrap();
    assert!(vm.request(get()).request_headers(true).local_response().is_some());
    assert_eq!(vm.failure().unwrap().reason, TrapReason::Unreachable);
}

#[test]
fn an_allocator_that_has_nothing_is_a_status() {
    let text = filter(&on_request(
        "(call $answer <<x-status>> (call $get_header (i32.const 0) <<:path>> (i32.const 0) (i32.const 4)))",
    ))
    .replace("    (global.get $heap)\n", "    (i32.const 0)\n");
    let vm = Host::builder(&Module::compile(engine(), text).unwrap()).start().unwrap();
    assert_eq!(pass(&vm).get("x-status"), Some([6].as_slice()));
}

#[test]
fn an_allocator_that_lies_is_a_status() {
    let text = filter(&on_request(
        "(call $answer <<x-status>> (call $get_header (i32.const 0) <<:path>> (i32.const 0) (i32.const 4)))",
    ))
    .replace("    (global.get $heap)\n", "    (i32.const -2)\n");
    let vm = Host::builder(&Module::compile(engine(), text).unwrap()).start().unwrap();
    assert_eq!(pass(&vm).get("x-status"), Some([6].as_slice()));
}

#[test]
fn an_allocator_that_never_returns_runs_out_of_fuel() {
    let text = filter(&on_request(
        "(drop (call $get_header (i32.const 0) <<:path>> (i32.const 0) (i32.const 4)))",
    ))
    .replace("    (global.get $heap)\n", "    (loop $ever (br $ever)) (global.get $heap)\n");
    let module = Module::compile(engine(), text).unwrap();
    let vm = Host::builder(&module).fuel(100_000).start().unwrap();
    assert!(vm.request(get()).request_headers(true).local_response().is_some());
    assert_eq!(vm.failure().unwrap().reason, TrapReason::OutOfFuel);
}

#[test]
fn vms_can_be_driven_from_any_thread() {
    fn any_thread<T: Send + Sync>() {}
    any_thread::<wasm_host::Vm>();
    any_thread::<Module>();
    any_thread::<wasm_host::SharedQueues>();
}

#[test]
fn modules_that_are_no_filters_are_refused_with_what_they_lack() {
    let refusal = |text: &str| Module::compile(engine(), text).expect_err("a refusal");
    assert!(matches!(refusal("(module"), ModuleError::Invalid { .. }));
    assert!(matches!(refusal("(module)"), ModuleError::AbiVersion { found: None }));
    let old = refusal(r#"(module (func (export "proxy_abi_version_0_1_0")))"#);
    assert!(old.to_string().contains("proxy_abi_version_0_1_0"), "{old}");
    let bare = refusal(r#"(module (func (export "proxy_abi_version_0_2_1")))"#);
    assert!(matches!(bare, ModuleError::MissingExport { name: "memory" }));
    let no_malloc = refusal(
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#,
    );
    assert!(no_malloc.to_string().contains("proxy_on_memory_allocate"), "{no_malloc}");
    let unknown = refusal(
        r#"(module (import "env" "open_a_socket" (func)) (memory (export "memory") 1)
             (func (export "malloc") (param i32) (result i32) (i32.const 0))
             (func (export "proxy_abi_version_0_2_1")))"#,
    );
    assert!(unknown.to_string().contains("open_a_socket"), "{unknown}");
}

#[test]
fn a_callback_of_another_signature_is_named() {
    let refused = host(r#"(func (export "proxy_on_request_headers") (param i64))"#).start();
    let error = refused.expect_err("a refusal").to_string();
    assert!(error.contains("proxy_on_request_headers"), "{error}");
}

#[test]
fn an_allocator_that_calls_the_host_again_runs_out_of_stack_and_not_of_the_hosts() {
    // The host allocates to answer, the allocator asks the host, and so on.
    let text = filter(&on_request(
        "(drop (call $get_header (i32.const 0) <<:path>> (i32.const 0) (i32.const 4)))",
    ))
    .replace(
        "    (global.get $heap)\n",
        "    (drop (call $get_property (i32.const 1000) (i32.const 14) (i32.const 0) (i32.const 4)))
    (global.get $heap)\n",
    )
    .replace("(data (i32.const 1024)", "(data (i32.const 1000) \"plugin_root_id\") (data (i32.const 1024)");
    let vm =
        Host::builder(&Module::compile(engine(), text).unwrap()).root_id("root").start().unwrap();
    assert!(vm.request(get()).request_headers(true).local_response().is_some());
    let reason = vm.failure().unwrap().reason;
    assert!(matches!(reason, TrapReason::StackOverflow | TrapReason::OutOfFuel), "{reason:?}");
}

#[test]
fn a_recursion_without_end_runs_out_of_stack() {
    let vm = start(&(on_request("(call $deeper)") + "(func $deeper (call $deeper))"));
    let _ = vm.request(get()).request_headers(true);
    assert_eq!(vm.failure().unwrap().reason, TrapReason::StackOverflow);
}

#[test]
fn what_a_guest_leaves_with_the_host_is_bounded() {
    // A megabyte at a time into one stream, until the host says no.
    let vm = host(&on_request(
        r#"(local $status i32)
           (drop (memory.grow (i32.const 16)))
           (loop $more
             (local.set $status
               (call $add_header (i32.const 0) <<x-big>> (i32.const 0) (i32.const 1048576)))
             (br_if $more (i32.eqz (local.get $status))))
           (call $say_digit (local.get $status))
           (drop (call $remove_header (i32.const 0) <<x-big>>))"#,
    ))
    .start()
    .unwrap();
    pass(&vm);
    // 48 + 10, the host failed.
    assert_eq!(vm.logs()[0].message, ":");
}
