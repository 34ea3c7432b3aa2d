//! What an ingress Envoy is told.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action,
    route_action::ClusterSpecifier, route_match::PathSpecifier,
};
use passport::seal;
use policy_model::resolved::Resolved;
use tenancy::headers;
use xds::Snapshot;

use super::{Code, Filter, cluster, cluster_name, filter, http, message::duration};
use crate::observe::LogTo;

/// The gate's name, as a plugin and as an ECDS resource.
pub const GATE: &str = "bulkhead.gate";

/// The listener's and the routes' name.
const INGRESS: &str = "ingress";

/// The gate with its table. It is told the name of the variable that holds the seal key.
pub fn gate(code: &Code, table: Vec<u8>) -> Filter {
    filter::filter(GATE, code, table, &[seal::ENVIRONMENT_VARIABLE])
}

/// Everything for a gateway that listens at `listen`: a listener with the gate, one route that
/// follows the gate's cluster header, and a cluster for each data plane. `log` says where the
/// access log goes, if there is to be one.
pub fn gateway(
    listen: SocketAddr,
    resolved: &Resolved,
    gate: &Filter,
    log: Option<&LogTo>,
) -> Snapshot {
    let hops = http::Hops { filter: gate.name(), trusts_peer: false, log };
    let mut snapshot = Snapshot::builder()
        .message(INGRESS, &http::listener(INGRESS, listen, hops))
        .message(INGRESS, &routes());
    snapshot = gate.add_to(snapshot);
    for plane in resolved.data_planes.values() {
        let name = cluster_name(&plane.id);
        snapshot = snapshot
            .message(name.as_str(), &cluster::discovered(&name))
            .message(name.as_str(), &cluster::endpoints(&name, &plane.endpoints));
    }
    snapshot.build()
}

fn routes() -> RouteConfiguration {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::ClusterHeader(headers::CLUSTER.to_owned())),
        timeout: duration(http::REQUEST_TIMEOUT),
        retry_policy: Some(http::retries()),
        ..RouteAction::default()
    };
    route_everything(INGRESS, action)
}

/// Routes of one rule, which takes every host and path.
pub(super) fn route_everything(name: &str, action: RouteAction) -> RouteConfiguration {
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
            ..RouteMatch::default()
        }),
        action: Some(Action::Route(action)),
        // The hop's own business: it does not travel on.
        request_headers_to_remove: vec![headers::CLUSTER.to_owned()],
        ..Route::default()
    };
    RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: name.to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    }
}
