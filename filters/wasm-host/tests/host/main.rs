//! Small filters in WebAssembly text, driven as Envoy would drive them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod configuration;
mod headers;
mod limits;
mod sharing;
mod streams;
mod support;
mod surroundings;
