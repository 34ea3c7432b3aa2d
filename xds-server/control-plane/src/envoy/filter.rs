//! The Wasm filters, as ECDS resources.

use std::time::Duration;

use envoy_types::pb::{
    envoy::{
        config::core::v3::{
            AsyncDataSource, BackoffStrategy, HttpUri, RemoteDataSource, TypedExtensionConfig,
            async_data_source::Specifier, http_uri::HttpUpstreamType,
        },
        extensions::{
            filters::http::wasm::v3::Wasm,
            wasm::v3::{
                EnvironmentVariables, FailurePolicy, PluginConfig, ReloadConfig, VmConfig,
                plugin_config::Vm,
            },
        },
    },
    google::protobuf::BytesValue,
};
use prost::Name as _;
use tenancy::Digest;
use xds::{Resource, STAMP, SnapshotBuilder};

use super::message::{any, duration};
use crate::wasm::code_path;

/// The bootstraps' cluster for the control plane's xDS port, which serves code as well.
const CODE_CLUSTER: &str = "xds_grpc";

/// How long fetching code may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a filter that trapped waits before its VM is made anew; it denies until then.
const RELOAD_AFTER: Duration = Duration::from_millis(100);
const RELOAD_AT_MOST: Duration = Duration::from_secs(1);

/// A filter with its code and table, ready to be sent: many proxies are sent the same.
#[derive(Debug, Clone)]
pub struct Filter {
    name: String,
    resource: Resource,
}

impl Filter {
    /// The name as a plugin and of the ECDS resource.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn add_to(&self, snapshot: SnapshotBuilder) -> SnapshotBuilder {
        snapshot.add(TypedExtensionConfig::type_url(), self.name.as_str(), self.resource.clone())
    }
}

/// A filter with its table. `code` is the digest of its WebAssembly module. `environment` names the
/// variables of Envoy's own environment that its VM may see; their values are nowhere in the
/// configuration.
pub(super) fn filter(name: &str, code: Digest, table: Vec<u8>, environment: &[&str]) -> Filter {
    let vm = VmConfig {
        // Counters live in data that VMs of one id share, so the id stays when the code changes.
        vm_id: name.to_owned(),
        runtime: "envoy.wasm.runtime.v8".to_owned(),
        code: Some(AsyncDataSource { specifier: Some(Specifier::Remote(remote(code))) }),
        // A filter whose code is missing is refused, and fetched for the next time. Without this
        // Envoy 1.40 takes it, and lets requests through without a filter until it has the code.
        nack_on_code_cache_miss: true,
        environment_variables: Some(EnvironmentVariables {
            host_env_keys: environment.iter().map(|name| (*name).to_owned()).collect(),
            ..EnvironmentVariables::default()
        }),
        ..VmConfig::default()
    };
    let plugin = PluginConfig {
        name: name.to_owned(),
        root_id: name.to_owned(),
        configuration: Some(any(&BytesValue { value: table })),
        failure_policy: FailurePolicy::FailReload.into(),
        reload_config: Some(ReloadConfig {
            backoff: Some(BackoffStrategy {
                base_interval: duration(RELOAD_AFTER),
                max_interval: duration(RELOAD_AT_MOST),
            }),
        }),
        vm: Some(Vm::VmConfig(vm)),
        ..PluginConfig::default()
    };
    let config = TypedExtensionConfig {
        name: name.to_owned(),
        typed_config: Some(any(&Wasm { config: Some(plugin) })),
    };
    Filter { name: name.to_owned(), resource: Resource::fetching(&config, code.to_string()) }
}

/// Code by its digest, which Envoy checks what it fetched against. The address has a stamp, so that
/// a filter that was refused is looked at when it is sent again.
fn remote(code: Digest) -> RemoteDataSource {
    RemoteDataSource {
        http_uri: Some(HttpUri {
            // The host's name is for the `host` header only: the cluster says where to connect.
            uri: format!("http://{CODE_CLUSTER}{}?{STAMP}", code_path(&code)),
            http_upstream_type: Some(HttpUpstreamType::Cluster(CODE_CLUSTER.to_owned())),
            timeout: duration(FETCH_TIMEOUT),
        }),
        sha256: code.hex(),
        ..RemoteDataSource::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use prost::Message as _;

    use super::*;

    fn plugin(filter: &Filter) -> PluginConfig {
        let config = TypedExtensionConfig::decode(filter.resource.value().clone()).unwrap();
        let wasm = Wasm::decode(config.typed_config.unwrap().value.as_slice()).unwrap();
        wasm.config.unwrap()
    }

    #[test]
    fn code_is_named_by_its_digest_and_a_filter_is_never_taken_without_it() {
        let digest = Digest::of(b"\0asm");
        let plugin = plugin(&filter("gate", digest, Vec::new(), &[]));
        let Some(Vm::VmConfig(vm)) = plugin.vm else { panic!("expected a VM, found {plugin:?}") };
        assert!(vm.nack_on_code_cache_miss, "without a filter Envoy lets requests through");
        let Some(Specifier::Remote(remote)) = vm.code.unwrap().specifier else {
            panic!("expected code to fetch")
        };
        assert_eq!(remote.sha256, digest.hex());
        let uri = remote.http_uri.unwrap().uri;
        assert_eq!(uri, format!("http://xds_grpc/v1/wasm/{digest}?{STAMP}"));
    }

    #[test]
    fn a_filter_that_traps_is_made_anew_within_a_second_and_denies_until_then() {
        let plugin = plugin(&filter("gate", Digest::of(b"\0asm"), Vec::new(), &[]));
        assert_eq!(plugin.failure_policy(), FailurePolicy::FailReload);
        let backoff = plugin.reload_config.unwrap().backoff.unwrap();
        let nanos = |it: envoy_types::pb::google::protobuf::Duration| {
            i128::from(it.seconds) * 1_000_000_000 + i128::from(it.nanos)
        };
        let base = nanos(backoff.base_interval.unwrap());
        let most = nanos(backoff.max_interval.unwrap());
        // Whichever way Envoy spreads its waits, it adds at most half of the base to the base, or
        // goes up to the maximum.
        assert!(base > 0 && base * 3 / 2 <= most && most <= 1_000_000_000, "{backoff:?}");
    }
}
