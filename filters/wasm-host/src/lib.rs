//! A proxy-wasm host for tests: it loads a filter that was built for Envoy and drives it as Envoy would,
//! without Envoy.
//!
//! It speaks the whole of ABI 0.2.1 (the Rust SDK, `proxy-wasm` 0.2), for HTTP and TCP filters and for
//! background services, and as much of WASI preview 1 as Rust's std uses, on wasmtime. Nothing is
//! global: VMs run side by side in one process, and share only what they are given to share
//! ([`SharedData`], [`SharedQueues`], [`Metrics`], [`Clock`]). Time stands still until a test moves
//! it, calls to other services are answered by the test, random bytes come from a seed, and a guest has
//! bounded memory and fuel, so that every run is the same run.
//!
//! What it deliberately does not know: what any filter is for, cryptography (give it as a
//! [foreign function](Host::foreign_function)), HTTP on the wire, routing, Envoy's configuration.
//!
//! Start reading at [`Host::builder`], then [`Vm`], [`Stream`] and [`Connection`]; then the module
//! `machine`, which makes the calls, and `imports`, which answers those of the guest. Where the
//! specification and Envoy differ, [`Dialect`] says how, and which of them a guest meets.
//!
//! ```
//! use wasm_host::{Engine, Headers, Host, Module, Outcome};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A filter that lets everything pass. A real one comes from `std::fs::read("gate.wasm")`.
//! let module = Module::compile(
//!     &Engine::new()?,
//!     r#"(module
//!         (memory (export "memory") 1)
//!         (func (export "proxy_abi_version_0_2_1"))
//!         (func (export "malloc") (param i32) (result i32) (i32.const 1024)))"#,
//! )?;
//! let vm = Host::builder(&module)
//!     .vm_id("gate")
//!     .env("REGION", "eu")
//!     .configuration(b"{}")
//!     .start()?;
//! let mut stream = vm.request([(":method", "GET"), (":path", "/"), (":authority", "example.com")]);
//! match stream.request_headers(true) {
//!     Outcome::Continue(headers) => assert_eq!(headers.get_str(":path"), Some("/")),
//!     refused => return Err(format!("expected the request to pass: {refused:?}").into()),
//! }
//! # Ok(())
//! # }
//! ```

mod abi;
mod callouts;
mod clock;
mod connection;
mod contexts;
mod dialect;
mod error;
mod exports;
mod foreign;
mod headers;
mod host;
mod imports;
mod logs;
mod machine;
mod memory;
mod metrics;
mod module;
mod outcome;
mod pairs;
mod properties;
mod property_value;
mod random;
mod settings;
mod shared_data;
mod shared_queues;
mod state;
mod stream;
mod vm;

pub use abi::{LogLevel, Peer, Status};
pub use callouts::{
    CalloutError, GrpcCall, GrpcMessage, GrpcStream, GrpcStreamState, HttpCall, HttpResponse,
};
pub use clock::Clock;
pub use connection::Connection;
pub use dialect::Dialect;
pub use error::{ModuleError, Trap, TrapReason, VmError};
pub use headers::Headers;
pub use host::Host;
pub use logs::LogRecord;
pub use metrics::Metrics;
pub use module::{Engine, Module};
pub use outcome::{ConnectionOutcome, LocalResponse, Outcome, Passed};
pub use property_value::PropertyValue;
pub use settings::FailurePolicy;
pub use shared_data::SharedData;
pub use shared_queues::SharedQueues;
pub use stream::Stream;
pub use vm::Vm;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
