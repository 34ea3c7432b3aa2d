//! What a node's Envoy is told.

use std::{net::SocketAddr, path::Path};

use envoy_types::pb::envoy::config::route::v3::{RouteAction, route_action::ClusterSpecifier};
use tenancy::{Digest, headers};
use xds::Snapshot;

use super::{Filter, cluster, filter, gateway::route_everything, http, message::duration};
use crate::observe::LogTo;

/// The recheck's name, as a plugin and as an ECDS resource.
pub const RECHECK: &str = "bulkhead.recheck";

/// The listener's and the routes' name.
const NODE: &str = "node";

/// The cluster of the node's own sidecar.
const SIDECAR: &str = "sidecar";

/// The recheck with its table.
pub fn recheck(code: Digest, table: Vec<u8>) -> Filter {
    filter::filter(RECHECK, code, table, &[])
}

/// Everything for a node that listens at `listen`: a listener with the recheck, and one route to
/// the sidecar's socket. `log` says where the access log goes, if there is to be one.
pub fn node(listen: SocketAddr, sidecar: &Path, recheck: &Filter, log: Option<&LogTo>) -> Snapshot {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(SIDECAR.to_owned())),
        timeout: duration(http::REQUEST_TIMEOUT),
        retry_policy: Some(http::retries()),
        ..RouteAction::default()
    };
    let hops = http::Hops { filter: recheck.name(), trusts_peer: true, log };
    let snapshot = Snapshot::builder()
        .message(NODE, &http::listener(NODE, listen, hops))
        .message(NODE, &route_everything(NODE, action, &[headers::CLUSTER]))
        .message(SIDECAR, &cluster::local(SIDECAR, sidecar));
    recheck.add_to(snapshot).build()
}
