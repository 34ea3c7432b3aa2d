//! Filters in a few lines of text.

use std::sync::OnceLock;

use wasm_host::{Engine, Headers, Host, LogRecord, Module, Outcome, Vm};

/// What every test filter has: the imports, a memory, an allocator that never frees, and helpers.
/// A test adds its callbacks; `<<text>>` in them stands for the address and length of that text.
///
/// Host functions return values through addresses 0 (pointer), 4 (length) and 8 (number).
const FRAME: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $set_tick (param i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $set_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove_header (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $get_headers (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_header_map_pairs" (func $set_headers (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment_metric (param i32 i64) (result i32)))
  (import "env" "proxy_record_metric" (func $record_metric (param i32 i64) (result i32)))
  (import "env" "proxy_get_metric" (func $get_metric (param i32 i32) (result i32)))
  (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $act_for (param i32) (result i32)))
  (import "env" "proxy_done" (func $done (result i32)))
  (import "env" "proxy_get_log_level" (func $get_level (param i32) (result i32)))
  (import "env" "proxy_get_buffer_status" (func $buffer_status (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_size" (func $headers_size (param i32 i32) (result i32)))
  (import "env" "proxy_get_status" (func $get_status (param i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register_queue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_resolve_shared_queue" (func $resolve_queue (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_call" (func $grpc_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_stream" (func $grpc_stream (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_send" (func $grpc_send (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_cancel" (func $grpc_cancel (param i32) (result i32)))
  (import "env" "proxy_grpc_close" (func $grpc_close (param i32) (result i32)))
  (import "env" "proxy_http_call" (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))

  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const 131072))
  (func (export "proxy_abi_version_0_2_1"))
  (func $malloc (export "malloc") (param i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get 0))))

  ;; Adds a request header whose one byte is a host function's answer.
  (func $answer (param i32 i32 i32)
    (i32.store8 (i32.const 16) (local.get 2))
    (drop (call $add_header (i32.const 0) (local.get 0) (local.get 1) (i32.const 16) (i32.const 1))))
  ;; Adds a request header with the bytes that a host function gave.
  (func $echo (param i32 i32)
    (call $show (local.get 0) (local.get 1) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
  ;; Adds a request header.
  (func $show (param i32 i32 i32 i32)
    (drop (call $add_header (i32.const 0) (local.get 0) (local.get 1) (local.get 2) (local.get 3))))
  ;; Logs the bytes that a host function gave.
  (func $say_given
    (call $say (i32.load (i32.const 0)) (i32.load (i32.const 4))))
  ;; Logs a number below ten as a digit.
  (func $say_digit (param i32)
    (i32.store8 (i32.const 20) (i32.add (i32.const 48) (local.get 0)))
    (call $say (i32.const 20) (i32.const 1)))
  ;; Logs at info.
  (func $say (param i32 i32)
    (drop (call $log (i32.const 2) (local.get 0) (local.get 1))))
"#;

/// Texts live from here on.
const TEXTS: usize = 1024;

/// The text of a filter with these functions.
pub fn filter(functions: &str) -> String {
    let mut wat = FRAME.to_owned();
    let mut data = String::new();
    let mut rest = functions;
    while let Some((before, after)) = rest.split_once("<<") {
        let (text, after) = after.split_once(">>").expect("an end of the text");
        // In a raw string, a zero byte is written as it is in WebAssembly text.
        let text = text.replace("\\0", "\0");
        let at = TEXTS + data.len();
        wat.push_str(before);
        wat.push_str(&format!("(i32.const {at}) (i32.const {})", text.len()));
        data.push_str(&text);
        rest = after;
    }
    wat.push_str(rest);
    let escaped: String = data.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    wat.push_str(&format!("(data (i32.const {TEXTS}) \"{escaped}\"))"));
    wat
}

pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().expect("an engine"))
}

pub fn module(functions: &str) -> Module {
    Module::compile(engine(), filter(functions)).expect("a valid filter")
}

pub fn host(functions: &str) -> Host {
    Host::builder(&module(functions))
}

pub fn start(functions: &str) -> Vm {
    host(functions).start().expect("a filter that starts")
}

/// A filter whose `proxy_on_request_headers` is this, and then lets the request go on.
pub fn on_request(body: &str) -> String {
    format!(
        r#"(func (export "proxy_on_request_headers") (param $id i32) (param $count i32) (param $end i32) (result i32)
             {body}
             (i32.const 0))"#
    )
}

pub fn get() -> Headers {
    Headers::from([(":method", "GET"), (":path", "/a?b=c"), (":authority", "example.com")])
}

/// The headers with which a plain request comes out of the filter.
pub fn pass(vm: &Vm) -> Headers {
    match vm.request(get()).request_headers(true) {
        Outcome::Continue(headers) => headers,
        other => panic!("expected the request to go on, found {other:?}; {:?}", vm.failure()),
    }
}

/// Pairs as the ABI serialises them, as text for a filter: `<<...>>` of it is a header map.
pub fn pairs(headers: &[(&str, &str)]) -> String {
    let number = |length: usize| String::from_utf8((length as u32).to_le_bytes().into()).unwrap();
    let mut text = number(headers.len());
    for (name, value) in headers {
        text.push_str(&(number(name.len()) + &number(value.len())));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}\0{value}\0"));
    }
    text
}

pub fn messages(logs: &[LogRecord]) -> Vec<&str> {
    logs.iter().map(|record| record.message.as_str()).collect()
}
