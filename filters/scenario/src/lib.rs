//! Promises about who is let through, written as scenarios and played over the filters.
//!
//! A scenario is one file and one promise: a deployment, requests, and what must become of each.
//! The same file is played over the native core ([`Native`]), over the WebAssembly in wasmtime
//! ([`Wasm`]) and, by the end-to-end suite, over real Envoy, by giving [`play`] something that can
//! send a request: a [`Runner`].
//!
//! The filters are what a way of playing differs in. The two other points at which checks hold are
//! native code in every deployment, and are asked as such by each: what reaches a node is decided by
//! the sidecar's own code ([`Sidecar`]), and a promotion by the compiler.
//!
//! What it deliberately does not know: Envoy, the control plane, the sidecar beyond its decisions,
//! and what any check is for.
//!
//! Start with [`mod@format`], which is what an author of a scenario needs, then [`play`].

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod bless;
mod check;
mod deployment;
mod error;
mod explain;
pub mod format;
mod keys;
mod minted;
mod native;
mod play;
mod prepare;
mod runner;
mod sidecar;
mod suite;
mod tables;
mod token;
mod wasm;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

pub use check::Broken;
pub use deployment::Deployment;
pub use error::Error;
pub use explain::{Explained, Node, explain, token_of_claims};
pub use format::Scenario;
pub use native::{Native, Verification};
pub use play::{Decided, Decision, Played, Seen, play};
pub use prepare::prepare;
pub use runner::{Header, Observed, Prepared, Runner, Said};
pub use sidecar::Sidecar;
pub use suite::{Ending, Suite, Verdict};
pub use wasm::{Filters, Wasm};

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
