//! Small pieces that many of Envoy's messages are made of.

use std::{net::SocketAddr, path::Path, time::Duration};

use envoy_types::pb::{
    envoy::config::core::v3::{
        Address, AggregatedConfigSource, ApiVersion, ConfigSource, Pipe, SocketAddress, address,
        config_source::ConfigSourceSpecifier, socket_address::PortSpecifier,
    },
    google::protobuf,
};
use prost::{Message, Name};

pub(super) fn any<M: Message + Name>(message: &M) -> protobuf::Any {
    protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

pub(super) fn duration(duration: Duration) -> Option<protobuf::Duration> {
    Some(protobuf::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    })
}

pub(super) const fn yes() -> Option<protobuf::BoolValue> {
    Some(protobuf::BoolValue { value: true })
}

pub(super) const fn no() -> Option<protobuf::BoolValue> {
    Some(protobuf::BoolValue { value: false })
}

pub(super) const fn number(value: u32) -> Option<protobuf::UInt32Value> {
    Some(protobuf::UInt32Value { value })
}

/// "Ask the stream that you got this by."
pub(super) fn ads() -> Option<ConfigSource> {
    Some(ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    })
}

pub(super) fn tcp(at: SocketAddr) -> Option<Address> {
    let address = SocketAddress {
        address: at.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(at.port().into())),
        ..SocketAddress::default()
    };
    Some(Address { address: Some(address::Address::SocketAddress(address)) })
}

pub(super) fn unix(path: &Path) -> Option<Address> {
    let pipe = Pipe { path: path.to_string_lossy().into_owned(), mode: 0 };
    Some(Address { address: Some(address::Address::Pipe(pipe)) })
}
