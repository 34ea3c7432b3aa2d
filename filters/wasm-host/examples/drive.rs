//! Drives a filter by hand: compiles it, shows it a request (or, with `--tcp`, a connection), answers the
//! calls that it makes, lets time pass, and tells what it did.
//!
//! ```sh
//! cargo run -p wasm-host --example drive -- [--tcp] FILTER.wasm [CONFIGURATION]
//! ```
//!
//! Without a filter it drives a small one of its own.

use std::time::{Duration, Instant};

use wasm_host::{ConnectionOutcome, Engine, Host, HttpResponse, Module, Outcome, Vm};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Adds a header to each request, and counts its ticks in the log.
const OWN_FILTER: &str = r#"(module
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_tick_period_milliseconds" (func $set_tick (param i32) (result i32)))
    (import "env" "proxy_add_header_map_value"
      (func $add_header (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "x-drivenyesticked")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 4096))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $set_tick (i32.const 1000))) (i32.const 1))
    (func (export "proxy_on_tick") (param i32)
      (drop (call $log (i32.const 2) (i32.const 27) (i32.const 6))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (drop (call $add_header
        (i32.const 0) (i32.const 16) (i32.const 8) (i32.const 24) (i32.const 3)))
      (i32.const 0)))"#;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let tcp = arguments.next_if_eq("--tcp").is_some();
    let filter = match arguments.next() {
        Some(file) => {
            std::fs::read(&file).map_err(|error| format!("cannot read {file}: {error}"))?
        }
        None => OWN_FILTER.as_bytes().to_vec(),
    };
    let configuration = arguments.next().unwrap_or_default();

    // The next run finds it compiled.
    let began = Instant::now();
    let engine = Engine::cached(std::env::temp_dir().join("wasm-host-example"))?;
    let module = Module::compile(&engine, filter)?;
    println!("compiled or read in {:?}", began.elapsed());

    let began = Instant::now();
    let vm = Host::builder(&module).vm_id("example").configuration(configuration).start()?;
    println!("started in {:?}", began.elapsed());

    if tcp {
        connection(&vm);
    } else {
        request(&vm)?;
    }
    vm.advance(Duration::from_secs(3))?;
    for record in vm.logs() {
        let canary = if record.canary { " (canary)" } else { "" };
        println!("{:?}{canary}: {}", record.level, record.message);
    }
    if let Some(failure) = vm.failure() {
        println!("it failed: {failure}");
    }
    Ok(())
}

fn request(vm: &Vm) -> Result<()> {
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "example.com")];
    let mut stream = vm.request(headers);
    let mut outcome = stream.request_headers(true).continued();
    while let Some(call) = vm.next_http_call() {
        println!("it asks {}: {:?}", call.upstream(), call.headers());
        call.respond(HttpResponse::new(200).body("0"))?;
    }
    if outcome.is_none() {
        outcome = match stream.request_outcome() {
            Outcome::Continue(passed) => Some(passed.headers),
            other => {
                println!("the request does not go on: {other:?}");
                None
            }
        };
    }
    if let Some(headers) = outcome {
        println!("the request goes on: {headers:?}");
        println!("the response: {:?}", stream.response_headers([(":status", "200")], true));
    }
    Ok(())
}

fn connection(vm: &Vm) {
    let mut connection = vm.connection().property(&["source", "address"], "127.0.0.1:4711");
    if connection.open() == ConnectionOutcome::Continue(()) {
        let onward = connection.downstream_data("hello\n", false).continued();
        println!(
            "the client's bytes: {:?}",
            onward.map(|it| String::from_utf8_lossy(&it).into_owned())
        );
        let onward = connection.upstream_data("welcome\n", false).continued();
        println!(
            "the backend's bytes: {:?}",
            onward.map(|it| String::from_utf8_lossy(&it).into_owned())
        );
    }
}
