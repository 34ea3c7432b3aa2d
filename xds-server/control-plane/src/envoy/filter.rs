//! The Wasm filters, as ECDS resources.

use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::core::v3::{
            AsyncDataSource, BackoffStrategy, DataSource, TypedExtensionConfig,
            async_data_source::Specifier, data_source,
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
use xds::{Resource, SnapshotBuilder};

use super::message::{any, duration};

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

/// The code of a filter.
///
/// It travels inside of the filter's configuration, so that code and table are one resource: a
/// proxy that runs switches to both at once, or refuses both and keeps what it had. Envoy 1.40 can
/// fetch code by its digest as well, but says itself that this "is unstable and may cause a crash",
/// and a running one never fetches other code under the name that it knows.
#[derive(Debug, Clone)]
pub struct Code(Bytes);

impl Code {
    /// A WebAssembly module.
    pub fn new(module: impl Into<Bytes>) -> Self {
        Self(module.into())
    }
}

/// A filter with its table. `environment` names the variables of Envoy's own environment that
/// its VM may see; their values are nowhere in the configuration.
pub(super) fn filter(name: &str, code: &Code, table: Vec<u8>, environment: &[&str]) -> Filter {
    let vm = VmConfig {
        // Counters live in data that VMs of one id share, so the id stays when the code changes.
        vm_id: name.to_owned(),
        runtime: "envoy.wasm.runtime.v8".to_owned(),
        code: Some(AsyncDataSource { specifier: Some(Specifier::Local(inline(code))) }),
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
    Filter { name: name.to_owned(), resource: Resource::of(&config) }
}

fn inline(Code(module): &Code) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::InlineBytes(module.to_vec())),
        ..DataSource::default()
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
    fn a_filter_that_traps_is_made_anew_within_a_second_and_denies_until_then() {
        let plugin = plugin(&filter("gate", &Code::new(b"\0asm".as_slice()), Vec::new(), &[]));
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
