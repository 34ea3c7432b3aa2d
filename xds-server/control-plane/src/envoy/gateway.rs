//! What an ingress Envoy is told.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::{
    core::v3::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction},
    route::v3::{
        Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action,
        route_action::ClusterSpecifier, route_match::PathSpecifier,
    },
};
use passport::seal;
use policy_model::resolved::Resolved;
use tenancy::{Digest, headers};
use xds::Snapshot;

use super::{Filter, cluster, cluster_name, filter, http, message::duration};
use crate::observe::LogTo;

/// The gate's name, as a plugin and as an ECDS resource.
pub const GATE: &str = "bulkhead.gate";

/// The listener's and the routes' name.
const INGRESS: &str = "ingress";

/// What is shown of decisions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'a> {
    /// Where the access log goes, if there is to be one.
    pub log: Option<&'a LogTo>,
    /// Whether answers from behind the gate carry the revision that let the request in. The gate's
    /// own answers carry it where its table says so.
    pub revision: bool,
}

/// The gate with its table. It is told the name of the variable that holds the seal key.
pub fn gate(code: Digest, table: Vec<u8>) -> Filter {
    filter::filter(GATE, code, table, &[seal::ENVIRONMENT_VARIABLE])
}

/// Everything for a gateway that listens at `listen`: a listener with the gate, one route that
/// follows the gate's cluster header, and a cluster for each data plane.
pub fn gateway(
    listen: SocketAddr,
    resolved: &Resolved,
    gate: &Filter,
    Shown { log, revision }: Shown<'_>,
) -> Snapshot {
    let hops = http::Hops { filter: gate.name(), trusts_peer: false, log };
    let mut snapshot = Snapshot::builder()
        .message(INGRESS, &http::listener(INGRESS, listen, hops))
        .message(INGRESS, &routes(revision));
    snapshot = gate.add_to(snapshot);
    for plane in resolved.data_planes.values() {
        let name = cluster_name(&plane.id);
        snapshot = snapshot
            .message(name.as_str(), &cluster::discovered(&name))
            .message(name.as_str(), &cluster::endpoints(&name, &plane.endpoints));
    }
    snapshot.build()
}

fn routes(revision: bool) -> RouteConfiguration {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::ClusterHeader(headers::CLUSTER.to_owned())),
        timeout: duration(http::REQUEST_TIMEOUT),
        retry_policy: Some(http::retries()),
        ..RouteAction::default()
    };
    let shown = revision.then(|| HeaderValueOption {
        header: Some(HeaderValue {
            key: headers::REVISION.to_owned(),
            value: "%FILTER_STATE(wasm.bulkhead.revision:PLAIN)%".to_owned(),
            ..HeaderValue::default()
        }),
        // A node that denied has said which revision of its own it denied by.
        append_action: HeaderAppendAction::AddIfAbsent.into(),
        ..HeaderValueOption::default()
    });
    RouteConfiguration {
        response_headers_to_add: shown.into_iter().collect(),
        ..route_everything(INGRESS, action, &headers::STAY_AT_THE_INGRESS)
    }
}

/// Routes of one rule, which takes every host and path, and takes the headers `removed` away.
pub(super) fn route_everything(
    name: &str,
    action: RouteAction,
    removed: &[&str],
) -> RouteConfiguration {
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
            ..RouteMatch::default()
        }),
        action: Some(Action::Route(action)),
        request_headers_to_remove: removed.iter().map(|name| (*name).to_owned()).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_ingress_takes_the_customers_token_away() {
        let hosts = [routes(false), routes(true)].into_iter().flat_map(|it| it.virtual_hosts);
        let found: Vec<Route> = hosts.flat_map(|host| host.routes).collect();
        assert_eq!(found.len(), 2);
        for route in found {
            let removed = &route.request_headers_to_remove;
            assert!(removed.iter().any(|name| name == "authorization"), "found {removed:?}");
            assert!(removed.iter().any(|name| name == headers::CLUSTER), "found {removed:?}");
        }
    }
}
