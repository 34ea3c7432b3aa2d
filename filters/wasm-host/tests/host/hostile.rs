//! Guests that mean harm: every host function, with arguments that nobody would give.

use std::sync::OnceLock;

use proptest::prelude::*;
use wasm_host::{Host, HttpResponse, Module, Outcome, TrapReason, Vm};

use crate::support::{get, module, on_request};

/// Every function of the host by its name in the test filter, and its parameters: `i` for 32 bits,
/// `l` for 64.
const FUNCTIONS: [(&str, &str); 43] = [
    ("log", "iii"),
    ("now", "i"),
    ("set_tick", "i"),
    ("get_level", "i"),
    ("get_header", "iiiii"),
    ("add_header", "iiiii"),
    ("set_header", "iiiii"),
    ("remove_header", "iii"),
    ("get_headers", "iii"),
    ("set_headers", "iii"),
    ("headers_size", "ii"),
    ("get_buffer", "iiiii"),
    ("set_buffer", "iiiii"),
    ("buffer_status", "iii"),
    ("get_property", "iiii"),
    ("set_property", "iiii"),
    ("get_shared", "iiiii"),
    ("set_shared", "iiiii"),
    ("register_queue", "iii"),
    ("resolve_queue", "iiiii"),
    ("enqueue", "iii"),
    ("dequeue", "iii"),
    ("respond", "iiiiiiii"),
    ("continue", "i"),
    ("close", "i"),
    ("get_status", "iii"),
    ("define_metric", "iiii"),
    ("increment_metric", "il"),
    ("record_metric", "il"),
    ("get_metric", "ii"),
    ("foreign", "iiiiii"),
    ("act_for", "i"),
    ("done", ""),
    ("http_call", "iiiiiiiiii"),
    ("grpc_call", "iiiiiiiiiiii"),
    ("grpc_stream", "iiiiiiiii"),
    ("grpc_send", "iiii"),
    ("grpc_cancel", "i"),
    ("grpc_close", "i"),
    ("environ_sizes", "ii"),
    ("environ", "ii"),
    ("clock_time", "ili"),
    ("fd_write", "iiii"),
];

/// Takes a function's index and twelve numbers from the VM's configuration and makes that call in each
/// phase; the answer is dropped.
fn hostile() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let mut calls = String::new();
        for (index, (name, parameters)) in FUNCTIONS.iter().enumerate() {
            let arguments: String = parameters
                .chars()
                .enumerate()
                .map(|(place, kind)| {
                    let at = 4 + place * 4;
                    match kind {
                        'l' => format!("(i64.load32_s offset={at} (local.get $p))"),
                        _ => format!("(i32.load offset={at} (local.get $p))"),
                    }
                })
                .collect();
            calls.push_str(&format!(
                "(if (i32.eq (i32.load (local.get $p)) (i32.const {index}))
                   (then (drop (call ${name} {arguments}))))"
            ));
        }
        let random = "(if (i32.eq (i32.load (local.get $p)) (i32.const 43))
            (then (drop (call $random (i32.load offset=4 (local.get $p)) (i32.load offset=8 (local.get $p))))))";
        let phases: String = [
            ("request_body", "i32 i32 i32"),
            ("response_headers", "i32 i32 i32"),
            ("response_body", "i32 i32 i32"),
            ("downstream_data", "i32 i32 i32"),
            ("upstream_data", "i32 i32 i32"),
        ]
        .map(|(phase, parameters)| {
            format!("(func (export \"proxy_on_{phase}\") (param {parameters}) (result i32) (call $harm) (i32.const 0))")
        })
        .concat();
        module(&format!(
            "(func $harm (local $p i32)
               (drop (call $get_buffer (i32.const 6) (i32.const 0) (i32.const 52) (i32.const 0) (i32.const 4)))
               (local.set $p (i32.load (i32.const 0)))
               {calls} {random})
             {phases}
             (func (export \"proxy_on_http_call_response\") (param i32 i32 i32 i32 i32) (call $harm))
             (func (export \"proxy_on_grpc_receive\") (param i32 i32 i32) (call $harm))
             (func (export \"proxy_on_foreign_function\") (param i32 i32 i32) (call $harm))
             (func (export \"proxy_on_queue_ready\") (param i32 i32) (call $harm))
             (func (export \"proxy_on_log\") (param i32) (call $harm))
             {}",
            on_request("(call $harm)")
        ))
    })
}

/// Small numbers that mean something, addresses near the ends of memory, and anything.
fn argument() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0_u32..12,
        2 => 1024_u32..1100,
        2 => 262_100_u32..262_180,
        1 => Just(u32::MAX),
        1 => (u32::MAX - 16)..u32::MAX,
        1 => Just(0x7fff_ffff_u32),
        2 => any::<u32>(),
    ]
}

fn drive(vm: &Vm) {
    let mut stream = vm.request(get());
    let _ = stream.request_headers(false);
    let _ = stream.request_body("body", true);
    let _ = stream.response_headers([(":status", "200")], false);
    let _ = stream.response_body("body", true);
    let mut connection = vm.connection();
    let _ = connection.open();
    let _ = connection.downstream_data("data", false);
    let _ = connection.upstream_data("data", true);
    while let Some(call) = vm.next_http_call() {
        let _ = call.respond(HttpResponse::new(200).body("answer"));
        if vm.failure().is_some() {
            break;
        }
    }
    if let Some(call) = vm.next_grpc_call() {
        let _ = call.respond("answer");
    }
    let _ = vm.foreign_callback(1, "arguments");
    let _ = vm.run_due();
    let _ = stream.request_outcome();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_arguments_of_a_guest_harm_the_host(
        function in 0_u32..44,
        arguments in prop::array::uniform12(argument()),
    ) {
        let words = std::iter::once(function).chain(arguments);
        let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        let vm = Host::builder(hostile())
            .vm_configuration(bytes)
            .env("KEY", "value")
            .foreign_function("f", |bytes| Ok(bytes.to_vec()))
            .fuel(1_000_000)
            .memory_limit(4 * 1024 * 1024)
            .canary(false)
            .start()
            .unwrap();
        drive(&vm);
        // A guest may spoil its own memory, and with it its streams; it cannot do more.
        if let Some(failure) = vm.failure() {
            prop_assert!(
                matches!(failure.reason, TrapReason::OutOfFuel | TrapReason::MemoryOutOfBounds),
                "{failure}"
            );
            let refused = vm.request(get()).request_headers(true);
            prop_assert!(matches!(refused, Outcome::LocalResponse(_)));
        }
        prop_assert!(vm.memory_bytes() <= 4 * 1024 * 1024);
    }
}
