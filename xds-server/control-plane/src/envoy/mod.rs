//! What Envoy is told: listeners, routes, clusters, endpoints and filters, for each role.
//!
//! Pure functions from what the resources mean to Envoy's own messages (API v3); what is sent to
//! whom and when is [`crate::publisher`]'s.

mod cluster;
mod filter;
mod gateway;
mod http;
mod log;
mod message;
mod node;

pub use filter::Filter;
pub use gateway::{GATE, Shown, gate, gateway};
pub use http::REQUEST_TIMEOUT;
pub use node::{RECHECK, node, recheck};

use tenancy::DataPlaneId;

/// The name of the ingress's cluster for a data plane.
pub fn cluster_name(data_plane: &DataPlaneId) -> String {
    format!("data-plane/{data_plane}")
}
