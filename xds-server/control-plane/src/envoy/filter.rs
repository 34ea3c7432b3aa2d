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
use tenancy::Digest;

use super::message::{any, duration};

/// The bootstrap's cluster for the control plane's HTTP interface, where code is fetched.
pub const CODE_CLUSTER: &str = "xds_http";

const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a filter that trapped waits before its VM is made anew; it denies until then.
const RELOAD_AFTER: Duration = Duration::from_millis(100);
const RELOAD_AT_MOST: Duration = Duration::from_secs(1);

/// Which code a filter runs.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// The digest that Envoy checks what it fetched against.
    pub digest: Digest,
}

/// The name of a filter's ECDS resource, which other code changes.
///
/// Under the old name, Envoy 1.40 accepts other code, never fetches it, and answers everything
/// with 503. Under a new name it goes on serving. New code is rolled out by restarting Envoys.
pub(super) fn resource_name(filter: &str, code: Code) -> String {
    format!("{filter}.{}", code.digest.short())
}

/// A filter with its table. `environment` names the variables of Envoy's own environment that
/// its VM may see; their values are nowhere in the configuration.
pub(super) fn filter(
    name: &str,
    code: Code,
    table: Vec<u8>,
    environment: &[&str],
) -> TypedExtensionConfig {
    let vm = VmConfig {
        // Counters live in data that VMs of one id share, so the id stays when the code changes.
        vm_id: name.to_owned(),
        runtime: "envoy.wasm.runtime.v8".to_owned(),
        code: Some(AsyncDataSource { specifier: Some(Specifier::Remote(remote(code))) }),
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
    TypedExtensionConfig {
        name: resource_name(name, code),
        typed_config: Some(any(&Wasm { config: Some(plugin) })),
    }
}

fn remote(code: Code) -> RemoteDataSource {
    RemoteDataSource {
        http_uri: Some(HttpUri {
            // The host's name is only for the `host` header: the cluster says where to connect.
            uri: format!("http://{CODE_CLUSTER}/v1/wasm/{}", code.digest),
            http_upstream_type: Some(HttpUpstreamType::Cluster(CODE_CLUSTER.to_owned())),
            timeout: duration(FETCH_TIMEOUT),
        }),
        sha256: code.digest.hex(),
        ..RemoteDataSource::default()
    }
}
