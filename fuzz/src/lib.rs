//! What is fuzzed: every place at which bytes from outside come to a decision.
//!
//! Each function here takes any bytes, hands them to what reads them in production, uses what comes
//! of it as far as a request would, and says whether they were accepted. It panics where something
//! is wrong, and nowhere else. It knows no fuzzer: `libfuzzer/` runs these functions with coverage,
//! and `tests/replay.rs` runs them over `corpus/` and mutations of it, on stable, in seconds.
//!
//! Start with [`TARGETS`].

#![allow(clippy::expect_used, clippy::panic, reason = "a fuzz target fails by panicking")]

mod cel;
mod changes;
mod deployment;
mod headers;
mod table;
mod yaml;

pub use cel::{cel, program};
pub use changes::changes;
pub use deployment::seeds;
pub use headers::headers;
pub use table::table;
pub use yaml::yaml;

/// What is fuzzed: whether these bytes are accepted, which must be answered without a panic.
pub type Target = fn(&[u8]) -> bool;

/// The targets, by the names of their corpora.
pub const TARGETS: [(&str, Target); 6] = [
    ("table", table),
    ("yaml", yaml),
    ("cel", cel),
    ("program", program),
    ("headers", headers),
    ("changes", changes),
];
