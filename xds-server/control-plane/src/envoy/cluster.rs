//! Clusters and endpoints.

use std::{collections::HashMap, net::SocketAddr, path::Path, time::Duration};

use envoy_types::pb::envoy::{
    config::{
        cluster::v3::{
            CircuitBreakers, Cluster,
            circuit_breakers::Thresholds,
            cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
        },
        core::v3::{Address, Http2ProtocolOptions},
        endpoint::v3::{
            ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
            lb_endpoint::HostIdentifier,
        },
    },
    extensions::upstreams::http::v3::{
        HttpProtocolOptions,
        http_protocol_options::{
            ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
        },
    },
};
use prost::Name as _;

use super::message::{ads, any, duration, number, tcp, unix};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How many requests may wait or run at once towards one upstream; the queues that matter are the
/// sidecar's, which know tenants.
const MAX_REQUESTS: u32 = 65_536;

/// A cluster whose endpoints come by EDS.
pub(super) fn discovered(name: &str) -> Cluster {
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: ads(), ..Default::default() }),
        ..cluster(name)
    }
}

/// A cluster of one Unix socket.
pub(super) fn local(name: &str, socket: &Path) -> Cluster {
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: Some(assignment(name, [unix(socket)])),
        ..cluster(name)
    }
}

/// The endpoints of a cluster.
pub(super) fn endpoints(name: &str, at: &[SocketAddr]) -> ClusterLoadAssignment {
    assignment(name, at.iter().map(|at| tcp(*at)))
}

fn assignment(
    name: &str,
    addresses: impl IntoIterator<Item = Option<Address>>,
) -> ClusterLoadAssignment {
    let endpoints = addresses.into_iter().map(|address| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address,
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    });
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: endpoints.collect(),
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    }
}

fn cluster(name: &str) -> Cluster {
    let http2 = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(
            ExplicitHttpConfig {
                protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(
                    Http2ProtocolOptions::default(),
                )),
            },
        )),
        ..HttpProtocolOptions::default()
    };
    Cluster {
        name: name.to_owned(),
        connect_timeout: duration(CONNECT_TIMEOUT),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_requests: number(MAX_REQUESTS),
                max_pending_requests: number(MAX_REQUESTS),
                max_retries: number(MAX_REQUESTS),
                ..Thresholds::default()
            }],
            ..CircuitBreakers::default()
        }),
        typed_extension_protocol_options: HashMap::from([(
            HttpProtocolOptions::full_name(),
            any(&http2),
        )]),
        ..Cluster::default()
    }
}
