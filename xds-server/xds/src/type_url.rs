//! The types that Envoy asks for by name, and what must be known of them to push without a gap.

/// `Cluster` (CDS).
pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// `ClusterLoadAssignment` (EDS).
pub const ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// `Secret` (SDS).
pub const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/// `Listener` (LDS).
pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// `ScopedRouteConfiguration` (SRDS).
pub const SCOPED_ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration";
/// `RouteConfiguration` (RDS).
pub const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
/// `VirtualHost` (VHDS).
pub const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
/// `TypedExtensionConfig` (ECDS): a filter and its configuration.
pub const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/// In the order in which they are sent within one push; types that are not listed come last.
const ORDER: [&str; 8] =
    [CLUSTER, ENDPOINT, SECRET, LISTENER, SCOPED_ROUTE, ROUTE, VIRTUAL_HOST, EXTENSION];

/// A type URL that sorts in the order of a push.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ranked {
    rank: usize,
    url: String,
}

impl Ranked {
    pub(crate) fn new(url: &str) -> Self {
        let rank = ORDER.iter().position(|known| *known == url);
        Self { rank: rank.unwrap_or(ORDER.len()), url: url.to_owned() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// True for types that are only ever asked for by name: an empty list of names then means none, and
/// not all.
///
/// Envoy sends such empty lists when it re-opens a stream after the last user of the type has gone.
pub fn only_by_name(url: &str) -> bool {
    [ENDPOINT, SECRET, ROUTE, VIRTUAL_HOST, EXTENSION].contains(&url)
}

/// True for types without which Envoy does not finish warming a changed cluster or listener, even
/// where it holds the very same content from before.
pub(crate) fn completes_warming(url: &str) -> bool {
    [ENDPOINT, ROUTE].contains(&url)
}

/// The types whose resources may name a resource of this type. A resource is withdrawn only after
/// these have moved on.
pub(crate) fn referrers(url: &str) -> &'static [&'static str] {
    match url {
        CLUSTER => &[LISTENER, SCOPED_ROUTE, ROUTE, VIRTUAL_HOST, EXTENSION],
        ENDPOINT => &[CLUSTER],
        SECRET => &[CLUSTER, LISTENER, EXTENSION],
        SCOPED_ROUTE | EXTENSION => &[LISTENER],
        ROUTE => &[LISTENER, SCOPED_ROUTE],
        VIRTUAL_HOST => &[ROUTE],
        _ => &[],
    }
}

/// The types that must be in use before this one is sent, since it may name what is new in them.
///
/// Envoy acknowledges clusters only once all of them are warm, which is what makes waiting for the
/// ACK worth it.
pub(crate) fn referents(url: &str) -> &'static [&'static str] {
    match url {
        LISTENER | SCOPED_ROUTE | ROUTE | VIRTUAL_HOST | EXTENSION => &[CLUSTER, ENDPOINT, SECRET],
        _ => &[],
    }
}
