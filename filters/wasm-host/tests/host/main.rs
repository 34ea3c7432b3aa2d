//! Small filters in WebAssembly text, driven as Envoy would drive them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod cache;
mod configuration;
mod flow;
mod grpc;
mod headers;
mod hostile;
mod http_calls;
mod life_cycle;
mod limits;
mod queues;
mod sharing;
mod streams;
mod support;
mod surroundings;
mod tcp;
mod timers;
