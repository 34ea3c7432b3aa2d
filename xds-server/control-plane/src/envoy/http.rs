//! The HTTP connection manager and its listener, the same at the ingress and on a node but for
//! what is trusted.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use envoy_types::pb::envoy::{
    config::{
        core::v3::{
            CidrRange, ExtensionConfigSource, Http2ProtocolOptions, HttpProtocolOptions,
            http_protocol_options::HeadersWithUnderscoresAction,
        },
        listener::v3::{Filter, FilterChain, Listener, filter::ConfigType},
        route::v3::{RetryPolicy, retry_policy::RetryBackOff},
    },
    extensions::filters::{
        http::{router::v3::Router, wasm::v3::Wasm},
        network::http_connection_manager::v3::{
            HttpConnectionManager, HttpFilter, Rds,
            http_connection_manager::{
                InternalAddressConfig, PathWithEscapedSlashesAction, RouteSpecifier,
            },
            http_filter,
        },
    },
};
use prost::Name as _;

use super::{
    log,
    message::{ads, any, duration, no, number, yes},
};
use crate::observe::LogTo;

/// What a connection may hold in Envoy's memory; a request whose body is larger is not retried.
const CONNECTION_BUFFER_BYTES: u32 = 1 << 20;

/// What an HTTP/2 peer may send ahead, in one stream and in all of a connection: what Envoy's
/// documentation recommends at an edge, where its defaults are hundreds of times as much.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
const MAX_CONCURRENT_STREAMS: u32 = 100;

const REQUEST_HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a request may take in all, retries included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// In what the two kinds of listener differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hops<'a> {
    /// The name of our filter.
    pub(super) filter: &'a str,
    /// Whether the peer may set Envoy's own headers.
    pub(super) trusts_peer: bool,
    /// Where the access log goes, if there is one.
    pub(super) log: Option<&'a LogTo>,
}

/// A listener named `name` at `at`, with one of our filters before the router, and routes of the
/// same name.
pub(super) fn listener(name: &str, at: SocketAddr, hops: Hops<'_>) -> Listener {
    let manager = any(&connection_manager(name, hops));
    Listener {
        name: name.to_owned(),
        address: super::message::tcp(at),
        per_connection_buffer_limit_bytes: number(CONNECTION_BUFFER_BYTES),
        filter_chains: vec![FilterChain {
            filters: vec![Filter {
                name: "envoy.filters.network.http_connection_manager".to_owned(),
                config_type: Some(ConfigType::TypedConfig(manager)),
            }],
            ..FilterChain::default()
        }],
        ..Listener::default()
    }
}

fn connection_manager(name: &str, hops: Hops<'_>) -> HttpConnectionManager {
    HttpConnectionManager {
        stat_prefix: name.to_owned(),
        server_name: "bulkhead".to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: ads(),
            route_config_name: name.to_owned(),
        })),
        http_filters: vec![discovered(hops.filter), router()],
        // A path has one spelling, so that a check of it cannot be walked around.
        normalize_path: yes(),
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::RejectRequest.into(),
        common_http_protocol_options: Some(HttpProtocolOptions {
            headers_with_underscores_action: HeadersWithUnderscoresAction::RejectRequest.into(),
            idle_timeout: duration(IDLE_TIMEOUT),
            ..HttpProtocolOptions::default()
        }),
        http2_protocol_options: Some(Http2ProtocolOptions {
            max_concurrent_streams: number(MAX_CONCURRENT_STREAMS),
            initial_stream_window_size: number(STREAM_WINDOW_BYTES),
            initial_connection_window_size: number(CONNECTION_WINDOW_BYTES),
            ..Http2ProtocolOptions::default()
        }),
        request_headers_timeout: duration(REQUEST_HEADERS_TIMEOUT),
        stream_idle_timeout: duration(STREAM_IDLE_TIMEOUT),
        use_remote_address: if hops.trusts_peer { None } else { yes() },
        internal_address_config: Some(nobody()),
        // A request has one id, which the gate makes.
        generate_request_id: no(),
        access_log: hops.log.map(|to| log::access_log(name, to)).into_iter().collect(),
        ..HttpConnectionManager::default()
    }
}

/// Whose own `x-envoy-*` headers, and request ids, Envoy believes: those of the one address that no
/// caller has. Where it is given no range at all, Envoy believes every private address.
fn nobody() -> InternalAddressConfig {
    let unspecified = Ipv4Addr::UNSPECIFIED.to_string();
    let range = CidrRange { address_prefix: unspecified, prefix_len: number(32) };
    InternalAddressConfig { unix_sockets: false, cidr_ranges: vec![range] }
}

/// One of our filters, whose configuration comes by ECDS. There is no default: without one the
/// listener does not open.
fn discovered(name: &str) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::ConfigDiscovery(ExtensionConfigSource {
            config_source: ads(),
            type_urls: vec![Wasm::type_url()],
            ..ExtensionConfigSource::default()
        })),
        ..HttpFilter::default()
    }
}

fn router() -> HttpFilter {
    // Without Envoy's own headers in requests and answers.
    let router = Router { suppress_envoy_headers: true, ..Router::default() };
    HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(any(&router))),
        ..HttpFilter::default()
    }
}

/// Tries again where the upstream died without an answer. A prediction changes nothing, and the
/// usage event of a request keeps its id over retries, so trying again is safe and metered once. They
/// take some 8 seconds: a sidecar that is started again may be away for as long.
pub(super) fn retries() -> RetryPolicy {
    RetryPolicy {
        retry_on: "connect-failure,refused-stream,reset".to_owned(),
        num_retries: number(20),
        retry_back_off: Some(RetryBackOff {
            base_interval: duration(Duration::from_millis(25)),
            max_interval: duration(Duration::from_secs(1)),
        }),
        host_selection_retry_max_attempts: 3,
        ..RetryPolicy::default()
    }
}
