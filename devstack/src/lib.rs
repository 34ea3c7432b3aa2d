//! One whole Bulkhead on one machine, for `bulkhead up`, end-to-end tests and benches: the
//! development issuer, the control plane, the Envoys with their relays and the sidecars, started,
//! watched, restarted and stopped.
//!
//! It deliberately knows nothing of what the processes say to each other: it knows their
//! command lines, their ports and how to see that they are ready. Start reading with
//! [`stack::Stack`], then [`process::Service`].

pub mod dev_issuer;
pub mod environment;
pub mod envoy;
pub mod http;
pub mod ports;
pub mod process;
pub mod relay;
pub mod stack;
mod wait;

pub use wait::until;
