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

use super::{Code, cluster, cluster_name, filter, http, message::duration};

/// The gate's name as a plugin; its ECDS resource's name goes on with the code's digest.
pub const GATE: &str = "bulkhead.gate";

/// The listener's and the routes' name.
const INGRESS: &str = "ingress";

/// Everything for a gateway that listens at `listen`: a listener with the gate, one route that
/// follows the gate's cluster header, and a cluster for each data plane.
pub fn gateway(listen: SocketAddr, resolved: &Resolved, code: Code, table: Vec<u8>) -> Snapshot {
    let gate = filter::resource_name(GATE, code);
    let mut snapshot = Snapshot::builder()
        .message(INGRESS, &http::listener(INGRESS, listen, &gate, false))
        .message(INGRESS, &routes())
        .message(gate, &filter::filter(GATE, code, table, &[seal::ENVIRONMENT_VARIABLE]));
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
