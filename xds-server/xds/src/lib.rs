//! The xDS transport: it hands immutable [`Snapshot`]s of opaque resources to groups of proxies
//! over one Aggregated Discovery Service (gRPC, state-of-the-world and delta), and keeps book of
//! what each proxy accepted or refused.
//!
//! It deliberately knows nothing of tenants, policies or what a resource means. A resource is a
//! name and the bytes of a protobuf `Any`, so any type URL works, also those of types that Envoy
//! has never heard of. The two things that it does know of Envoy are in [`type_url`]: the order in
//! which types must travel so that no request falls between two pushes, and which types Envoy waits
//! for before it takes a change into use.
//!
//! Where to start reading: [`Snapshot`] (what is served), [`SnapshotStore`] (to whom), `session`
//! (the protocol as a state machine without input or output), [`AdsService`] (the same on the
//! wire), [`Proxies`] (the book), and [`client::DeltaClient`], which is the other end of the wire
//! for processes of our own.
//!
//! Source: "xDS REST and gRPC protocol",
//! <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol>.

mod book;
pub mod client;
mod delta;
mod fetches;
mod interest;
mod outbox;
mod progress;
mod service;
mod session;
mod snapshot;
mod sotw;
mod store;
pub mod type_url;

#[cfg(test)]
mod session_tests;

pub use book::{Fetching, LastRefusal, Proxies, ProxyStatus, Refusal, TypeStatus};
pub use envoy_types::pb::envoy::config::core::v3::Node;
pub use progress::{Progress, RefusedBy, Target};
pub use service::{AdsService, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES};
pub use session::Variant;
pub use snapshot::{Resource, STAMP, Snapshot, SnapshotBuilder, TypeResources};
pub use store::SnapshotStore;
