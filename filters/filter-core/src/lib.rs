//! What the filters decide: the gate at the ingress, and the recheck at every node.
//!
//! The crate knows nothing of Envoy or of the proxy-wasm ABI: it speaks to whatever runs it
//! through the small [`Host`] trait, so the same code runs natively in tests, in wasmtime and in
//! Envoy. It reads no clock, opens no socket and holds no global state: what outlives a request
//! or a pushed table is a value that the caller owns ([`Vm`]).
//!
//! Every way out that is not an explicit admission is a declared denial.
//!
//! Start with [`Gate::on_request_headers`], then [`Recheck::on_request_headers`].

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

mod bearer;
mod cache;
mod checks;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod checks_tests;
mod claims;
mod denial;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod fixture;
pub mod foreign;
mod gate;
mod headers;
mod host;
mod jwt;
#[cfg(feature = "memory-host")]
pub mod memory_host;
mod rate;
mod recheck;
mod request;
mod request_id;
mod rows;
mod signature;

pub use bearer::MAX_TOKEN_BYTES;
pub use checks::{CheckOutcome, CheckResult};
pub use denial::{Cause, CheckDenial, Verdict, refuse_without_policy};
pub use gate::{Caller, Explanation, Gate, Vm};
pub use headers::Headers;
pub use host::{CasMismatch, Header, Host, Level, Note};
pub use recheck::Recheck;

/// Why a pushed configuration was refused. The text is for the operator of the proxy, who finds
/// it in the proxy's log beside the refused update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigureError {
    /// The configuration is no table.
    #[error("the pushed configuration was refused: {0}")]
    Table(#[from] policy_model::table::TableError),
    /// The proxy was started without the seal key.
    #[error(
        "expected the environment variable {} in the filter's VM, found none: name it in \
         `environment_variables.host_env_keys` and start the proxy with it",
        passport::seal::ENVIRONMENT_VARIABLE
    )]
    NoSealKey,
    /// The passport key in the table cannot be opened.
    #[error("the passport key was refused: {0}")]
    PassportKey(#[from] passport::seal::SealError),
    /// A passport key of the node's table is not one.
    #[error("a passport key was refused: {0}")]
    VerifyingKey(#[from] passport::KeyError),
    /// The node's table accepts nobody's passports.
    #[error("expected at least one passport key in the pushed configuration, found none")]
    NoPassportKeys,
    /// Request ids cannot be made unique.
    #[error("expected random bytes from the host, found none")]
    NoRandomness,
}
