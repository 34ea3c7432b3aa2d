//! What a node's Envoy is told.

use std::{net::SocketAddr, path::Path};

use envoy_types::pb::envoy::config::route::v3::{RouteAction, route_action::ClusterSpecifier};
use xds::Snapshot;

use super::{Code, cluster, filter, gateway::route_everything, http, message::duration};

/// The recheck's name as a plugin; its ECDS resource's name goes on with the code's digest.
pub const RECHECK: &str = "bulkhead.recheck";

/// The listener's and the routes' name.
const NODE: &str = "node";

/// The cluster of the node's own sidecar.
const SIDECAR: &str = "sidecar";

/// Everything for a node that listens at `listen`: a listener with the recheck, and one route to
/// the sidecar's socket.
pub fn node(listen: SocketAddr, sidecar: &Path, code: Code, table: Vec<u8>) -> Snapshot {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(SIDECAR.to_owned())),
        timeout: duration(http::REQUEST_TIMEOUT),
        retry_policy: Some(http::retries()),
        ..RouteAction::default()
    };
    let recheck = filter::resource_name(RECHECK, code);
    Snapshot::builder()
        .message(NODE, &http::listener(NODE, listen, &recheck, true))
        .message(NODE, &route_everything(NODE, action))
        .message(recheck, &filter::filter(RECHECK, code, table, &[]))
        .message(SIDECAR, &cluster::local(SIDECAR, sidecar))
        .build()
}
