//! The public keys of every issuer, found by OpenID Connect discovery and kept fresh.
//!
//! The crate fetches, checks and keeps keys; it verifies no token, knows no tenant and writes no
//! file. Keys outlive an outage: what an issuer published last stays in force until it publishes
//! something else, and [`KeySets::export`] lets the control plane keep it over a restart.
//!
//! Start with [`KeySets::start`], then [`KeySets::watch`], then `jwk::read_set` for which keys
//! are accepted.

mod client;
mod fetch;
mod freshness;
mod jwk;
mod key_sets;

pub use client::{ClientError, http_client};
pub use fetch::FetchError;
pub use freshness::Freshness;
pub use jwk::IssuerKey;
pub use key_sets::{Clock, ImportError, IssuerStatus, KeyMap, KeySets, system_clock};
