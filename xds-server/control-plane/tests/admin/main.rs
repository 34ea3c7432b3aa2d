//! The platform team's interface: who may do what, and how resources are changed and taken back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod access;
mod canary;
mod changes;
mod document;
mod plane;
#[path = "../setting/mod.rs"]
mod setting;
mod tls;
