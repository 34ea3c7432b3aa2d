//! What is remembered of what an Envoy and the xds-server say.

use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, RemoteDataSource, TypedExtensionConfig, async_data_source::Specifier,
};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::{PluginConfig, VmConfig, plugin_config::Vm};
use envoy_types::pb::google::{protobuf::Any, rpc};
use prost::{Message as _, Name as _};
use tenancy::Digest;
use xds::type_url::{CLUSTER, ENDPOINT, EXTENSION};

use super::*;
use crate::resources::code_named;

/// An Envoy, the stream that it has, and what is remembered of it.
#[derive(Default)]
struct Play {
    conversation: Conversation,
    taken: Resources,
    nonces: u32,
}

impl Play {
    fn connects_again(&mut self) {
        self.conversation = Conversation::default();
    }

    fn asks(&mut self, type_url: &str, names: &[&str], holding: &[(&str, &str)]) -> bool {
        let owned = |name: &&str| (*name).to_owned();
        let request = DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            resource_names_subscribe: names.iter().map(owned).collect(),
            initial_resource_versions: holding.iter().map(|(n, v)| (owned(n), owned(v))).collect(),
            ..DeltaDiscoveryRequest::default()
        };
        self.conversation.said(&request, &mut self.taken)
    }

    /// Returns the response's nonce.
    fn is_sent(&mut self, type_url: &str, resources: &[(&str, &str)], removed: &[&str]) -> String {
        let resource = |(name, version): &(&str, &str)| {
            sent(type_url, name, version, format!("{name} of {version}").into_bytes())
        };
        self.is_sent_as(type_url, resources.iter().map(resource).collect(), removed)
    }

    fn is_sent_as(&mut self, type_url: &str, resources: Vec<Sent>, removed: &[&str]) -> String {
        self.nonces += 1;
        let response = DeltaDiscoveryResponse {
            type_url: type_url.to_owned(),
            resources,
            removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
            nonce: self.nonces.to_string(),
            ..DeltaDiscoveryResponse::default()
        };
        self.conversation.offered(&response);
        response.nonce
    }

    fn takes(&mut self, type_url: &str, nonce: String) -> bool {
        let request = DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            response_nonce: nonce,
            ..DeltaDiscoveryRequest::default()
        };
        self.conversation.said(&request, &mut self.taken)
    }

    fn refuses(&mut self, type_url: &str, nonce: String) -> bool {
        let request = DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            response_nonce: nonce,
            error_detail: Some(rpc::Status { code: 13, message: "no".to_owned(), details: vec![] }),
            ..DeltaDiscoveryRequest::default()
        };
        self.conversation.said(&request, &mut self.taken)
    }

    /// Names and versions.
    fn has(&self, type_url: &str) -> Vec<(&str, &str)> {
        let named = self.taken.get(type_url).into_iter().flatten();
        named.map(|(name, resource)| (name.as_str(), resource.version())).collect()
    }

    /// One that has taken clusters a and b.
    fn with_two_clusters() -> Self {
        let mut play = Self::default();
        play.asks(CLUSTER, &[], &[]);
        let nonce = play.is_sent(CLUSTER, &[("a", "1"), ("b", "1")], &[]);
        play.takes(CLUSTER, nonce);
        play
    }
}

fn sent(type_url: &str, name: &str, version: &str, value: Vec<u8>) -> Sent {
    Sent {
        name: name.to_owned(),
        version: version.to_owned(),
        resource: Some(Any { type_url: type_url.to_owned(), value }),
        ..Sent::default()
    }
}

#[test]
fn what_is_taken_is_remembered_once_it_is_taken() {
    let mut play = Play::default();
    assert!(!play.asks(CLUSTER, &[], &[]));
    let nonce = play.is_sent(CLUSTER, &[("a", "1"), ("b", "1")], &[]);
    assert_eq!(play.has(CLUSTER), []);
    assert!(play.takes(CLUSTER, nonce));
    assert_eq!(play.has(CLUSTER), [("a", "1"), ("b", "1")]);
    assert_eq!(play.taken[CLUSTER]["a"].value(), "a of 1");
}

#[test]
fn what_is_refused_is_never_remembered_and_what_was_before_stays() {
    let mut play = Play::with_two_clusters();
    let refused = play.is_sent(CLUSTER, &[("a", "2"), ("c", "2")], &["b"]);
    assert!(!play.refuses(CLUSTER, refused));
    assert_eq!(play.has(CLUSTER), [("a", "1"), ("b", "1")]);
    let taken = play.is_sent(CLUSTER, &[("c", "3")], &[]);
    assert!(play.takes(CLUSTER, taken));
    assert_eq!(play.has(CLUSTER), [("a", "1"), ("b", "1"), ("c", "3")]);
}

#[test]
fn responses_are_told_apart_by_nonce_and_type_in_whichever_order_they_are_answered() {
    let mut play = Play::with_two_clusters();
    play.asks(ENDPOINT, &["a"], &[]);
    let bad = play.is_sent(CLUSTER, &[("a", "2")], &[]);
    let good = play.is_sent(CLUSTER, &[("b", "2")], &[]);
    let endpoints = play.is_sent(ENDPOINT, &[("a", "1")], &[]);
    assert!(!play.takes(ENDPOINT, bad.clone()), "the nonce is of another type");
    assert!(play.takes(CLUSTER, good.clone()));
    assert!(!play.takes(CLUSTER, good), "it was answered before");
    assert!(!play.refuses(CLUSTER, bad));
    assert!(play.takes(ENDPOINT, endpoints));
    assert_eq!(play.has(CLUSTER), [("a", "1"), ("b", "2")]);
    assert_eq!(play.has(ENDPOINT), [("a", "1")]);
}

#[test]
fn what_is_removed_is_forgotten_once_that_is_taken() {
    let mut play = Play::with_two_clusters();
    let nonce = play.is_sent(CLUSTER, &[], &["a"]);
    assert_eq!(play.has(CLUSTER).len(), 2);
    assert!(play.takes(CLUSTER, nonce));
    assert_eq!(play.has(CLUSTER), [("b", "1")]);
}

#[test]
fn what_comes_again_unchanged_is_no_change() {
    let mut play = Play::with_two_clusters();
    play.connects_again();
    play.asks(CLUSTER, &[], &[]);
    let nonce = play.is_sent(CLUSTER, &[("a", "1"), ("b", "1")], &[]);
    assert!(!play.takes(CLUSTER, nonce));
}

#[test]
fn an_envoy_that_starts_anew_forgets_what_has_gone_meanwhile_once_it_has_all() {
    let mut play = Play::with_two_clusters();
    play.connects_again();
    play.asks(CLUSTER, &[], &[]);
    // Where it refuses that, what it had is still what is known to be good.
    let refused = play.is_sent(CLUSTER, &[("b", "2")], &[]);
    play.refuses(CLUSTER, refused);
    assert_eq!(play.has(CLUSTER), [("a", "1"), ("b", "1")]);
    play.connects_again();
    play.asks(CLUSTER, &["*"], &[]);
    let all = play.is_sent(CLUSTER, &[("b", "2")], &[]);
    assert!(play.takes(CLUSTER, all));
    assert_eq!(play.has(CLUSTER), [("b", "2")]);
}

#[test]
fn a_name_that_is_asked_for_alone_says_nothing_of_others() {
    let mut play = Play::default();
    for name in ["a", "b"] {
        play.connects_again();
        play.asks(ENDPOINT, &[name], &[]);
        let nonce = play.is_sent(ENDPOINT, &[(name, "1")], &[]);
        play.takes(ENDPOINT, nonce);
    }
    assert_eq!(play.has(ENDPOINT), [("a", "1"), ("b", "1")]);
}

#[test]
fn an_envoy_that_connects_again_says_what_it_has_no_more() {
    let mut play = Play::default();
    play.asks(ENDPOINT, &["a", "b", "c"], &[]);
    let nonce = play.is_sent(ENDPOINT, &[("a", "1"), ("b", "1"), ("c", "1")], &[]);
    play.takes(ENDPOINT, nonce);
    play.connects_again();
    // c is asked for, and may just not have come yet.
    assert!(play.asks(ENDPOINT, &["a", "c"], &[("a", "1")]));
    assert_eq!(play.has(ENDPOINT), [("a", "1"), ("c", "1")]);
}

#[test]
fn what_an_envoy_holds_and_nobody_remembers_is_asked_for_again() {
    let play = Play::with_two_clusters();
    let claims = [("a", "1"), ("b", "2"), ("c", "1")];
    let request = DeltaDiscoveryRequest {
        type_url: CLUSTER.to_owned(),
        initial_resource_versions: claims
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into(),
        ..DeltaDiscoveryRequest::default()
    };
    let told = vouched_for(request.clone(), Some(&play.taken)).initial_resource_versions;
    let told: BTreeMap<_, _> = told.into_iter().collect();
    let expected = [("a", "1"), ("b", UNKNOWN), ("c", UNKNOWN)];
    assert_eq!(told, expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into());
    let told = vouched_for(request, None).initial_resource_versions;
    assert!(told.len() == 3 && told.values().all(|version| version == UNKNOWN), "{told:?}");
}

#[test]
fn a_filter_is_the_same_under_every_stamp_and_names_its_code() {
    let code = Digest::of(b"code");
    let mut play = Play::default();
    play.asks(EXTENSION, &["gate"], &[]);
    let filter = |stamp: u8| sent(EXTENSION, "gate", "1", filter(code, stamp));
    let nonce = play.is_sent_as(EXTENSION, vec![filter(1)], &[]);
    // It has to fetch the code first, and is sent the same again.
    play.refuses(EXTENSION, nonce);
    assert_eq!(play.has(EXTENSION), []);
    let nonce = play.is_sent_as(EXTENSION, vec![filter(2)], &[]);
    assert!(play.takes(EXTENSION, nonce));
    let nonce = play.is_sent_as(EXTENSION, vec![filter(3)], &[]);
    assert!(!play.takes(EXTENSION, nonce));
    assert_eq!(code_named(&play.taken).collect::<Vec<_>>(), [code]);
}

fn filter(code: Digest, stamp: u8) -> Vec<u8> {
    let http_uri = envoy_types::pb::envoy::config::core::v3::HttpUri {
        uri: format!("http://xds_grpc/v1/wasm/{code}?stamp-{stamp:016x}"),
        ..Default::default()
    };
    let remote = RemoteDataSource {
        http_uri: Some(http_uri),
        sha256: code.hex(),
        ..RemoteDataSource::default()
    };
    let vm = VmConfig {
        code: Some(AsyncDataSource { specifier: Some(Specifier::Remote(remote)) }),
        ..VmConfig::default()
    };
    let plugin = PluginConfig { vm: Some(Vm::VmConfig(vm)), ..PluginConfig::default() };
    let wasm = Wasm { config: Some(plugin) };
    let config = TypedExtensionConfig {
        name: "gate".to_owned(),
        typed_config: Some(Any { type_url: Wasm::type_url(), value: wasm.encode_to_vec() }),
    };
    config.encode_to_vec()
}
