//! Resources as they were taken, and the one thing that is known of what they mean: which code a
//! filter fetches.

use std::{collections::BTreeMap, sync::Arc};

use envoy_types::pb::envoy::{
    config::core::v3::{TypedExtensionConfig, async_data_source::Specifier},
    extensions::{filters::http::wasm::v3::Wasm, wasm::v3::plugin_config::Vm},
    service::discovery::v3::Resource as Sent,
};
use prost::Message as _;
use tenancy::Digest;
use xds::{Resource, Snapshot, type_url};

/// Resources by type URL and name.
pub(crate) type Resources = BTreeMap<String, BTreeMap<String, Resource>>;

/// A resource as the xds-server sent it; nothing where it carries no content.
pub(crate) fn received(type_url: &str, sent: &Sent) -> Option<Resource> {
    let value = sent.resource.as_ref()?.value.clone();
    Some(with_version(type_url, &sent.version, value.into()))
}

/// A resource of this version and content.
pub(crate) fn with_version(type_url: &str, version: &str, value: bytes::Bytes) -> Resource {
    let fetched = code_of(type_url, &value).map(|digest| Arc::from(digest.to_string()));
    Resource::received(version, value, fetched)
}

/// The code that a resource of this type and content makes a proxy fetch.
fn code_of(type_url: &str, value: &[u8]) -> Option<Digest> {
    if type_url != type_url::EXTENSION {
        return None;
    }
    let config = TypedExtensionConfig::decode(value).ok()?.typed_config?;
    let wasm = Wasm::decode(config.value.as_slice()).ok()?;
    let Vm::VmConfig(vm) = wasm.config?.vm?;
    match vm.code?.specifier? {
        Specifier::Remote(remote) => format!("sha256:{}", remote.sha256).parse().ok(),
        Specifier::Local(_) => None,
    }
}

/// The code that any of these makes a proxy fetch.
pub(crate) fn code_named(resources: &Resources) -> impl Iterator<Item = Digest> {
    let all = resources.values().flat_map(BTreeMap::values);
    all.filter_map(|resource| resource.fetched()?.parse().ok())
}

/// The same to be served.
pub(crate) fn snapshot(resources: &Resources) -> Snapshot {
    let mut snapshot = Snapshot::builder();
    for (type_url, named) in resources {
        for (name, resource) in named {
            snapshot = snapshot.add(type_url.as_str(), name.as_str(), resource.clone());
        }
    }
    snapshot.build()
}
