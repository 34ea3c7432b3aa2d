//! Filters that were written against the public Rust SDK, run as they were built: those of `guests`, and,
//! where they are on this machine, the SDK's own examples, unchanged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod build;
mod checks;
mod guests;
mod third_party;
