//! The bootstraps of the four Envoys: one listener, one route that follows the cluster header, and
//! the same clusters; they differ in their HTTP filters only.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use passport::seal;
use serde_json::{Value, json};
use tenancy::headers;

use super::fixture::{
    AUDIENCE, CLUSTER_CLAIM, CLUSTERS, Fixture, ISSUER, ORG_CLAIM, TENANTS, tenant,
};

/// Where the bare Envoy answers 401 by itself, and where the floods go.
pub(crate) const REFUSED_PATH: &str = "/refused";

/// The internal header by which the peer with a limit for each tenant knows the tenant.
pub(crate) const ORG: &str = "x-bulkhead-org";

/// What an Envoy runs before its router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Nothing.
    Bare,
    /// Envoy's own filters, with the least that does the gate's work.
    Native,
    /// Envoy's own filters, with a limit for each tenant as the gate has.
    NativePerTenant,
    /// The gate.
    Gate,
    /// Another build of the gate, to see what a change of it is worth.
    OtherGate,
}

impl Variant {
    pub(crate) const ALL: [Self; 5] =
        [Self::Bare, Self::Native, Self::NativePerTenant, Self::Gate, Self::OtherGate];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Native => "native",
            Self::NativePerTenant => "native-per-tenant",
            Self::Gate => "gate",
            Self::OtherGate => "other-gate",
        }
    }
}

/// Where everything is.
pub(crate) struct Places<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) upstream: SocketAddr,
    /// `gate.wasm`.
    pub(crate) gate: &'a Path,
}

/// The bootstrap of `variant`, in JSON.
pub(crate) fn bootstrap(variant: Variant, fixture: &Fixture, places: &Places<'_>) -> Result<Value> {
    let mut filters = match variant {
        Variant::Bare => Vec::new(),
        Variant::Native => vec![strip(), authentication(fixture, false)?, rate_limit(false)],
        Variant::NativePerTenant => {
            vec![strip(), authentication(fixture, true)?, rate_limit(true)]
        }
        Variant::Gate | Variant::OtherGate => vec![gate(fixture, places.gate)?],
    };
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": api("filters.http.router.v3.Router"),
            "suppress_envoy_headers": true,
        },
    }));
    let clusters: Vec<Value> = CLUSTERS.iter().map(|name| cluster(name, places.upstream)).collect();
    Ok(json!({
        "node": { "id": variant.name(), "cluster": "bench" },
        "admin": { "address": address(places.admin) },
        "static_resources": {
            "listeners": [listener(variant, places.listen, filters)],
            "clusters": clusters,
        },
    }))
}

/// As the control plane configures an ingress.
fn listener(variant: Variant, at: SocketAddr, filters: Vec<Value>) -> Value {
    let removed = match variant {
        // Its filter leaves the token to the route; the peer's takes it away itself.
        Variant::Gate | Variant::OtherGate => headers::STAY_AT_THE_INGRESS.to_vec(),
        _ => vec![headers::CLUSTER],
    };
    let mut routes = vec![json!({
        "match": { "prefix": "/" },
        "route": {
            "cluster_header": headers::CLUSTER,
            "timeout": "30s",
            "retry_policy": { "retry_on": "connect-failure,refused-stream,reset" },
        },
        "request_headers_to_remove": removed,
    })];
    if variant == Variant::Bare {
        let refused = json!({
            "match": { "path": REFUSED_PATH },
            "direct_response": { "status": 401 },
        });
        routes.insert(0, refused);
    }
    let mut manager = json!({
        "@type": api("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "ingress",
        "server_name": "bulkhead",
        "route_config": {
            "name": "ingress",
            "virtual_hosts": [{ "name": "ingress", "domains": ["*"], "routes": routes }],
        },
        "http_filters": filters,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {
            "headers_with_underscores_action": "REJECT_REQUEST",
            "idle_timeout": "300s",
        },
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "60s",
        "use_remote_address": true,
        "internal_address_config": {
            "cidr_ranges": [{ "address_prefix": "0.0.0.0", "prefix_len": 32 }],
        },
    });
    if matches!(variant, Variant::Gate | Variant::OtherGate) {
        // It makes the request's id itself; at the others Envoy does.
        manager["generate_request_id"] = json!(false);
    }
    json!({
        "name": "ingress",
        "address": address(at),
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [{
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }],
        }],
    })
}

fn cluster(name: &str, upstream: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(upstream) } }] }],
        },
    })
}

/// What a client may not set is dropped, as the gate does.
fn strip() -> Value {
    json!({
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": api("filters.http.header_mutation.v3.HeaderMutation"),
            "mutations": {
                "request_mutations": [
                    { "remove_on_match": { "key_matcher": { "prefix": headers::PREFIX } } },
                ],
            },
        },
    })
}

/// The token is verified once and then known again; the cluster comes straight from a claim, which
/// is the cheapest way there is from a token to a cluster.
fn authentication(fixture: &Fixture, names_tenant: bool) -> Result<Value> {
    let mut headers = vec![json!({ "header_name": headers::CLUSTER, "claim_name": CLUSTER_CLAIM })];
    if names_tenant {
        headers.push(json!({ "header_name": ORG, "claim_name": ORG_CLAIM }));
    }
    Ok(json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": api("filters.http.jwt_authn.v3.JwtAuthentication"),
            "providers": {
                "issuer": {
                    "issuer": ISSUER,
                    "audiences": [AUDIENCE],
                    "local_jwks": { "inline_string": fixture.jwks()? },
                    "forward": false,
                    "jwt_cache_config": { "jwt_cache_size": 10_000 },
                    "claim_to_headers": headers,
                    "clear_route_cache": true,
                },
            },
            "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "issuer" } }],
        },
    }))
}

/// Buckets that are never empty: one for all, or one for each tenant.
fn rate_limit(per_tenant: bool) -> Value {
    let bucket = json!({
        "max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s",
    });
    let always = |key: &str| {
        json!({
            "runtime_key": key,
            "default_value": { "numerator": 100, "denominator": "HUNDRED" },
        })
    };
    let mut config = json!({
        "@type": api("filters.http.local_ratelimit.v3.LocalRateLimit"),
        "stat_prefix": "ingress",
        "token_bucket": bucket,
        "filter_enabled": always("limit_enabled"),
        "filter_enforced": always("limit_enforced"),
    });
    if per_tenant {
        let descriptor = |number: usize| {
            json!({
                "entries": [{ "key": "tenant", "value": tenant(number) }],
                "token_bucket": bucket,
            })
        };
        config["descriptors"] = (0..TENANTS).map(descriptor).collect();
        config["rate_limits"] = json!([{
            "actions": [{
                "request_headers": { "header_name": ORG, "descriptor_key": "tenant" },
            }],
        }]);
    }
    json!({ "name": "envoy.filters.http.local_ratelimit", "typed_config": config })
}

/// As the control plane configures it, but with the code and the table in place.
fn gate(fixture: &Fixture, code: &Path) -> Result<Value> {
    let code = code.to_str().context("expected the path of gate.wasm in UTF-8")?;
    Ok(json!({
        "name": "bulkhead.gate",
        "typed_config": {
            "@type": api("filters.http.wasm.v3.Wasm"),
            "config": {
                "name": "bulkhead.gate",
                "root_id": "bulkhead.gate",
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.BytesValue",
                    "value": BASE64_STANDARD.encode(fixture.table()?),
                },
                "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    "vm_id": "bulkhead.gate",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": code } },
                    "environment_variables": { "host_env_keys": [seal::ENVIRONMENT_VARIABLE] },
                },
            },
        },
    }))
}

fn api(message: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{message}")
}

fn address(at: SocketAddr) -> Value {
    json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } })
}
