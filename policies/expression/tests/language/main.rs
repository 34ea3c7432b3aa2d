//! The language: what expressions give, what is refused and how it is said, what they cost, and
//! what hostile sources and archives do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod arithmetic;
mod cost;
mod diagnostics;
mod dynamic;
mod hostile;
mod logic;
mod macros;
mod oracle;
mod support;
mod template;
mod text;
mod time;
