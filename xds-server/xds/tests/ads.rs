//! The service over real sockets, spoken to by the generated gRPC client, as Envoy would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod server;

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc;
use server::{Server, node};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use xds::type_url::{ENDPOINT, LISTENER};
use xds::{Snapshot, Variant};

/// Long enough for any machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stream<Q, R> {
    requests: mpsc::Sender<Q>,
    responses: Streaming<R>,
}

impl<Q, R> Stream<Q, R> {
    async fn send(&self, request: Q) {
        self.requests.send(request).await.unwrap();
    }

    async fn result(&mut self) -> Result<Option<R>, Status> {
        tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("an answer in time")
    }

    async fn next(&mut self) -> R {
        self.result().await.unwrap().expect("the stream goes on")
    }
}

async fn client(server: &Server) -> AggregatedDiscoveryServiceClient<Channel> {
    AggregatedDiscoveryServiceClient::connect(server.address()).await.unwrap()
}

async fn sotw(server: &Server) -> Stream<DiscoveryRequest, DiscoveryResponse> {
    let (requests, outgoing) = mpsc::channel(16);
    let mut client = client(server).await;
    let stream = client.stream_aggregated_resources(ReceiverStream::new(outgoing)).await;
    Stream { requests, responses: stream.unwrap().into_inner() }
}

async fn delta(server: &Server) -> Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
    let (requests, outgoing) = mpsc::channel(16);
    let mut client = client(server).await;
    let stream = client.delta_aggregated_resources(ReceiverStream::new(outgoing)).await;
    Stream { requests, responses: stream.unwrap().into_inner() }
}

fn first_sotw(node: Node, type_url: &str, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        node: Some(node),
        type_url: type_url.to_owned(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DiscoveryRequest::default()
    }
}

fn answer_sotw(response: &DiscoveryResponse, refuse: Option<&str>) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        version_info: response.version_info.clone(),
        error_detail: refuse.map(error),
        ..DiscoveryRequest::default()
    }
}

fn first_delta(node: Node, type_url: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(node),
        type_url: type_url.to_owned(),
        resource_names_subscribe: vec!["*".to_owned()],
        ..DeltaDiscoveryRequest::default()
    }
}

fn ack_delta(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn error(message: &str) -> rpc::Status {
    rpc::Status { code: 13, message: message.to_owned(), ..rpc::Status::default() }
}

fn listener(content: &'static str) -> Snapshot {
    Snapshot::builder().resource(LISTENER, "main", content).build()
}

#[tokio::test]
async fn a_refused_version_stays_in_the_book_with_the_proxys_words_until_a_good_one_comes() {
    let server = Server::start().await;
    let [good, bad, mended] = ["good", "bad", "mended"].map(listener);
    server.store.set("pool", good.clone());
    let mut envoy = sotw(&server).await;
    envoy.send(first_sotw(node("envoy-1", "pool"), LISTENER, &[])).await;
    let response = envoy.next().await;
    assert_eq!(response.version_info, good.type_version(LISTENER));
    assert_eq!(response.resources[0].value, b"good");
    assert_eq!(response.resources[0].type_url, LISTENER);
    envoy.send(answer_sotw(&response, None)).await;
    let progress = server.proxies.settled("pool", &good, PATIENCE).await;
    assert_eq!(progress.accepted, ["envoy-1"]);

    server.store.set("pool", bad.clone());
    let response = envoy.next().await;
    envoy.send(answer_sotw(&response, Some("no such filter: main"))).await;
    let progress = server.proxies.settled("pool", &bad, PATIENCE).await;
    assert_eq!(progress.refused[0].refusal.message, "no such filter: main");
    assert_eq!(progress.refused[0].refusal.resources, ["main"]);
    let status = &server.proxies.list()[0];
    assert_eq!(status.types[LISTENER].in_force.as_deref(), Some(good.type_version(LISTENER)));
    assert_eq!(
        (status.user_agent.as_str(), status.variant),
        ("envoy 1.40.0", Variant::StateOfTheWorld)
    );

    // Were the refused version sent again, it would come before this one.
    server.store.set("pool", mended.clone());
    let response = envoy.next().await;
    assert_eq!(response.version_info, mended.type_version(LISTENER));
    envoy.send(answer_sotw(&response, None)).await;
    let progress = server.proxies.settled("pool", &mended, PATIENCE).await;
    assert!(progress.is_settled() && progress.refused.is_empty(), "{progress:?}");
    assert_eq!(server.proxies.list()[0].types[LISTENER].refusal, None);
}

#[tokio::test]
async fn a_delta_proxy_learns_of_changes_and_removals_and_only_of_these_after_a_reconnect() {
    let server = Server::start().await;
    let snapshot = |resources: &[(&'static str, &'static str)]| {
        let add = |builder: xds::SnapshotBuilder, (name, value): &(&'static str, &'static str)| {
            builder.resource(LISTENER, *name, *value)
        };
        resources.iter().fold(Snapshot::builder(), add).build()
    };
    server.store.set("pool", snapshot(&[("a", "1"), ("b", "1"), ("c", "1")]));
    let mut envoy = delta(&server).await;
    envoy.send(first_delta(node("envoy-1", "pool"), LISTENER)).await;
    let response = envoy.next().await;
    let held = response.resources.iter().map(|it| (it.name.clone(), it.version.clone())).collect();
    envoy.send(ack_delta(&response)).await;

    server.store.set("pool", snapshot(&[("a", "2"), ("b", "1")]));
    let response = envoy.next().await;
    assert_eq!((response.resources.len(), response.resources[0].name.as_str()), (1, "a"));
    assert_eq!(response.removed_resources, ["c"]);
    drop(envoy);

    let mut envoy = delta(&server).await;
    let first = first_delta(node("envoy-1", "pool"), LISTENER);
    envoy.send(DeltaDiscoveryRequest { initial_resource_versions: held, ..first }).await;
    let response = envoy.next().await;
    assert_eq!((response.resources.len(), response.resources[0].name.as_str()), (1, "a"));
    assert_eq!(response.removed_resources, ["c"]);
}

#[tokio::test]
async fn groups_are_served_their_own_snapshots_and_woken_by_these_alone() {
    let server = Server::start().await;
    server.store.set("pool", listener("of the pool"));
    server.store.set("silo", listener("of the silo"));
    let mut pool = delta(&server).await;
    pool.send(first_delta(node("pool-1", "pool"), LISTENER)).await;
    let response = pool.next().await;
    assert_eq!(response.resources[0].resource.as_ref().unwrap().value, b"of the pool");
    pool.send(ack_delta(&response)).await;
    let mut silo = delta(&server).await;
    silo.send(first_delta(node("silo-1", "silo"), LISTENER)).await;
    let response = silo.next().await;
    assert_eq!(response.resources[0].resource.as_ref().unwrap().value, b"of the silo");
    silo.send(ack_delta(&response)).await;

    server.store.set("silo", listener("changed"));
    silo.next().await;
    server.store.set("pool", listener("changed later"));
    let response = pool.next().await;
    assert_eq!(response.resources[0].resource.as_ref().unwrap().value, b"changed later");
}

#[tokio::test]
async fn a_push_sends_only_the_types_that_changed() {
    let server = Server::start().await;
    let snapshot = |endpoint: &'static str, listener: &'static str| {
        let builder = Snapshot::builder().resource(ENDPOINT, "e", endpoint);
        builder.resource(LISTENER, "main", listener).build()
    };
    server.store.set("pool", snapshot("1", "1"));
    let mut envoy = sotw(&server).await;
    envoy.send(first_sotw(node("envoy-1", "pool"), LISTENER, &[])).await;
    let response = envoy.next().await;
    envoy.send(answer_sotw(&response, None)).await;
    envoy.send(first_sotw(node("envoy-1", "pool"), ENDPOINT, &["e"])).await;
    let response = envoy.next().await;
    assert_eq!(response.type_url, ENDPOINT);
    let names = response.resources.len();
    let ack = answer_sotw(&response, None);
    envoy.send(DiscoveryRequest { resource_names: vec!["e".to_owned()], ..ack }).await;

    server.store.set("pool", snapshot("2", "1"));
    let response = envoy.next().await;
    assert_eq!((response.type_url.as_str(), names), (ENDPOINT, 1));
    let ack = answer_sotw(&response, None);
    envoy.send(DiscoveryRequest { resource_names: vec!["e".to_owned()], ..ack }).await;
    server.store.set("pool", snapshot("2", "2"));
    assert_eq!(envoy.next().await.type_url, LISTENER);
}

#[tokio::test]
async fn a_group_without_a_snapshot_is_left_with_what_it_has() {
    let server = Server::start().await;
    let mut envoy = sotw(&server).await;
    envoy.send(first_sotw(node("envoy-1", "pool"), LISTENER, &[])).await;
    server.until(|proxies| proxies.len() == 1).await;
    server.store.set("pool", listener("first"));
    // An empty answer before the first snapshot would be the first to arrive here.
    assert_eq!(envoy.next().await.resources.len(), 1);
}

#[tokio::test]
async fn a_stream_without_a_node_or_with_an_unknown_one_is_refused_with_the_reason() {
    let server = Server::start().await;
    let mut nameless = sotw(&server).await;
    let first = first_sotw(node("envoy-1", "pool"), LISTENER, &[]);
    nameless.send(DiscoveryRequest { node: None, ..first }).await;
    let status = nameless.result().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("carries no node"), "{status}");

    let mut stranger = delta(&server).await;
    let unknown = Node { id: "stranger".to_owned(), ..Node::default() };
    stranger.send(first_delta(unknown, LISTENER)).await;
    let status = stranger.result().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    assert!(status.message().contains("`group`"), "{status}");
    assert!(server.proxies.list().is_empty());
}

#[tokio::test]
async fn a_proxy_that_leaves_is_shown_as_gone_and_its_refusal_outlives_the_stream() {
    let server = Server::start().await;
    server.store.set("pool", listener("bad"));
    let mut envoy = sotw(&server).await;
    let first = first_sotw(node("envoy-1", "pool"), LISTENER, &[]);
    envoy.send(first.clone()).await;
    let response = envoy.next().await;
    envoy.send(answer_sotw(&response, Some("no"))).await;
    server.until(|proxies| proxies[0].types[LISTENER].refusal.is_some()).await;
    drop(envoy);
    server.until(|proxies| !proxies[0].is_connected()).await;

    let mut envoy = sotw(&server).await;
    envoy.send(DiscoveryRequest { version_info: "older".to_owned(), ..first }).await;
    server.until(|proxies| proxies.len() == 1 && proxies[0].is_connected()).await;
    let mended = listener("mended");
    server.store.set("pool", mended.clone());
    assert_eq!(envoy.next().await.version_info, mended.type_version(LISTENER));
}

#[tokio::test]
async fn a_table_of_many_megabytes_arrives_whole() {
    let server = Server::start().await;
    let table = vec![7u8; 20 << 20];
    server.store.set("pool", Snapshot::builder().resource(LISTENER, "main", table.clone()).build());
    let (requests, outgoing) = mpsc::channel(16);
    let mut client = client(&server).await.max_decoding_message_size(xds::MAX_RESPONSE_BYTES);
    let stream = client.delta_aggregated_resources(ReceiverStream::new(outgoing)).await.unwrap();
    let mut envoy = Stream { requests, responses: stream.into_inner() };
    envoy.send(first_delta(node("envoy-1", "pool"), LISTENER)).await;
    let response = envoy.next().await;
    assert!(response.resources[0].resource.as_ref().unwrap().value == table);
}

#[tokio::test]
async fn the_book_survives_being_written_down() {
    let server = Server::start().await;
    server.store.set("pool", listener("1"));
    let mut envoy = delta(&server).await;
    envoy.send(first_delta(node("envoy-1", "pool"), LISTENER)).await;
    let response = envoy.next().await;
    envoy.send(ack_delta(&response)).await;
    server.proxies.settled("pool", &listener("1"), PATIENCE).await;
    let list = server.proxies.list();
    let text = serde_json::to_string(&list).unwrap();
    let read: Vec<xds::ProxyStatus> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, list);
}
