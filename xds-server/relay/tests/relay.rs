//! A relay between a server of this process and a client that speaks as Envoy does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "../../xds/tests/server/mod.rs"]
mod server;

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use envoy_types::pb::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
    google::rpc,
};
use relay::{Options, Running};
use server::{Server, node};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use xds::{MAX_RESPONSE_BYTES, Snapshot, type_url::LISTENER};

/// Long enough for any machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A relay that is started again with what it remembers.
struct Beside {
    state: TempDir,
    xds: String,
    running: Option<Running>,
}

impl Beside {
    async fn of(server: &Server) -> Self {
        let (state, xds) = (tempfile::tempdir().unwrap(), server.address());
        let mut relay = Self { state, xds, running: None };
        relay.start().await;
        relay
    }

    async fn start(&mut self) {
        let options = Options {
            state_dir: self.state.path().to_path_buf(),
            listen: "127.0.0.1:0".parse().unwrap(),
            xds: self.xds.clone(),
        };
        self.running = Some(relay::start(options).await.unwrap());
    }

    async fn stop(&mut self) {
        self.running.take().unwrap().stop().await.unwrap();
    }

    fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().listen
    }

    async fn envoy(&self) -> Envoy {
        let server = format!("http://{}", self.address());
        let client = AggregatedDiscoveryServiceClient::connect(server).await.unwrap();
        let mut client = client.max_decoding_message_size(MAX_RESPONSE_BYTES);
        let (requests, outgoing) = mpsc::channel(16);
        let stream = client.delta_aggregated_resources(ReceiverStream::new(outgoing)).await;
        Envoy { requests, responses: stream.unwrap().into_inner() }
    }

    /// An Envoy that has just started, and what it is told first.
    async fn fresh(&self, node: Node) -> (Envoy, Result<DeltaDiscoveryResponse, Status>) {
        let mut envoy = self.envoy().await;
        envoy.send(first(node, &[])).await;
        let answer = envoy.next().await;
        (envoy, answer)
    }
}

struct Envoy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Envoy {
    async fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let response = tokio::time::timeout(PATIENCE, self.responses.message()).await;
        Ok(response.expect("an answer in time")?.expect("the stream goes on"))
    }

    async fn answers(&self, response: &DeltaDiscoveryResponse, refusal: Option<&str>) {
        let error = |message: &str| rpc::Status {
            code: 13,
            message: message.to_owned(),
            ..rpc::Status::default()
        };
        let request = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(error),
            ..DeltaDiscoveryRequest::default()
        };
        self.send(request).await;
    }
}

fn first(node: Node, holding: &[(&str, &str)]) -> DeltaDiscoveryRequest {
    let held = holding.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
    DeltaDiscoveryRequest {
        node: Some(node),
        type_url: LISTENER.to_owned(),
        initial_resource_versions: held.collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn envoy_1() -> Node {
    node("envoy-1", "pool")
}

fn listener(content: &'static str) -> Snapshot {
    Snapshot::builder().resource(LISTENER, "main", content).build()
}

fn version(snapshot: &Snapshot) -> String {
    snapshot.of_type(LISTENER).get("main").unwrap().version().to_owned()
}

fn contents(response: &DeltaDiscoveryResponse) -> Vec<&[u8]> {
    let values = response.resources.iter().map(|it| it.resource.as_ref().unwrap());
    values.map(|any| any.value.as_slice()).collect()
}

/// A server and a relay, whose Envoy has taken "good" and then refused "bad".
async fn with_a_good_and_a_bad_one() -> (Server, Beside) {
    let server = Server::start().await;
    let relay = Beside::of(&server).await;
    let [good, bad] = ["good", "bad"].map(listener);
    server.store.set("pool", good.clone());
    let (mut envoy, response) = relay.fresh(envoy_1()).await;
    let response = response.unwrap();
    assert_eq!(contents(&response), [b"good"]);
    envoy.answers(&response, None).await;
    let progress = server.proxies.settled("pool", &good, PATIENCE).await;
    assert_eq!(progress.accepted, ["envoy-1"]);

    server.store.set("pool", bad.clone());
    let response = envoy.next().await.unwrap();
    assert_eq!(contents(&response), [b"bad"]);
    envoy.answers(&response, Some("not this one")).await;
    let progress = server.proxies.settled("pool", &bad, PATIENCE).await;
    assert_eq!(progress.refused[0].refusal.message, "not this one");
    (server, relay)
}

#[tokio::test]
async fn an_envoys_own_words_reach_the_xds_server_and_its_end_too() {
    let (server, _relay) = with_a_good_and_a_bad_one().await;
    // The stream of before was dropped.
    server.until(|proxies| proxies.len() == 1 && !proxies[0].is_connected()).await;
    assert_eq!(server.proxies.list()[0].user_agent, "envoy 1.40.0");
}

#[tokio::test]
async fn without_the_xds_server_what_was_taken_last_is_served_until_it_is_back() {
    let (server, mut relay) = with_a_good_and_a_bad_one().await;
    let at = server.stop().await;
    for _ in 0..2 {
        let (envoy, response) = relay.fresh(envoy_1()).await;
        let response = response.unwrap();
        assert_eq!(contents(&response), [b"good"]);
        assert_eq!(response.resources[0].version, version(&listener("good")));
        drop(envoy);
        relay.stop().await;
        relay.start().await;
    }

    let (mut envoy, response) = relay.fresh(envoy_1()).await;
    envoy.answers(&response.unwrap(), None).await;
    let server = Server::start_at(at).await;
    server.store.set("pool", listener("mended"));
    let end = envoy.next().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    assert!(end.message().contains("is back"), "{end}");
    let mut envoy = relay.envoy().await;
    envoy.send(first(envoy_1(), &[("main", &version(&listener("good")))])).await;
    let response = envoy.next().await.unwrap();
    assert_eq!(contents(&response), [b"mended"]);
    assert_eq!(server.proxies.list()[0].node, "envoy-1");
}

#[tokio::test]
async fn nothing_is_taken_from_an_envoy_that_runs() {
    let (server, relay) = with_a_good_and_a_bad_one().await;
    server.stop().await;
    for holding in [
        [("main", version(&listener("newer"))), ("another", "1".to_owned())],
        [("main", version(&listener("good"))), ("another", "1".to_owned())],
    ] {
        let holding = holding.each_ref().map(|(name, version)| (*name, version.as_str()));
        let mut envoy = relay.envoy().await;
        envoy.send(first(envoy_1(), &holding)).await;
        let response = envoy.next().await.unwrap();
        assert_eq!((contents(&response).len(), response.removed_resources.len()), (0, 0));
    }
}

#[tokio::test]
async fn a_relay_that_has_forgotten_learns_anew_from_an_envoy_that_runs() {
    let server = Server::start().await;
    server.store.set("pool", listener("good"));
    let relay = Beside::of(&server).await;
    let mut envoy = relay.envoy().await;
    let holding = version(&listener("good"));
    envoy.send(first(envoy_1(), &[("main", &holding), ("gone", "1")])).await;
    let response = envoy.next().await.unwrap();
    assert_eq!(contents(&response), [b"good"]);
    assert_eq!(response.removed_resources, ["gone"]);
    envoy.answers(&response, None).await;
    server.proxies.settled("pool", &listener("good"), PATIENCE).await;
    drop(envoy);
    server.stop().await;
    assert_eq!(contents(&relay.fresh(envoy_1()).await.1.unwrap()), [b"good"]);
}

#[tokio::test]
async fn whoever_took_nothing_is_refused_until_the_xds_server_is_there() {
    let (server, relay) = with_a_good_and_a_bad_one().await;
    let at = server.stop().await;
    for stranger in [node("envoy-2", "pool"), node("envoy-1", "silo")] {
        let refused = relay.fresh(stranger).await.1.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    }
    let server = Server::start_at(at).await;
    server.store.set("silo", listener("of the silo"));
    let answer = relay.fresh(node("envoy-1", "silo")).await.1.unwrap();
    assert_eq!(contents(&answer), [b"of the silo"]);
    // What a live xds-server refuses is refused.
    let refused = relay.fresh(Node { metadata: None, ..envoy_1() }).await.1.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}

#[tokio::test]
async fn an_xds_server_that_has_nothing_for_an_envoy_that_took_something_is_as_good_as_none() {
    let (server, relay) = with_a_good_and_a_bad_one().await;
    let server = Server::start_at(server.stop().await).await;
    let (mut envoy, response) = relay.fresh(envoy_1()).await;
    assert_eq!(contents(&response.unwrap()), [b"good"]);
    server.store.set("pool", listener("late"));
    assert_eq!(envoy.next().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(contents(&relay.fresh(envoy_1()).await.1.unwrap()), [b"late"]);
}

#[tokio::test]
async fn an_xds_server_that_hangs_is_as_good_as_none() {
    let (server, relay) = with_a_good_and_a_bad_one().await;
    // The kernel accepts connections, and nobody ever reads from them.
    let _hangs = tokio::net::TcpListener::bind(server.stop().await).await.unwrap();
    assert_eq!(contents(&relay.fresh(envoy_1()).await.1.unwrap()), [b"good"]);
}

#[tokio::test]
async fn a_table_of_many_megabytes_is_passed_on_and_remembered_whole() {
    let server = Server::start().await;
    let mut relay = Beside::of(&server).await;
    let table = vec![7_u8; 20 << 20];
    let large = Snapshot::builder().resource(LISTENER, "main", table.clone()).build();
    server.store.set("pool", large.clone());
    let (envoy, response) = relay.fresh(envoy_1()).await;
    let response = response.unwrap();
    assert!(contents(&response) == [table.as_slice()], "the table changed on its way");
    envoy.answers(&response, None).await;
    server.proxies.settled("pool", &large, PATIENCE).await;
    server.stop().await;
    relay.stop().await;
    relay.start().await;
    let response = relay.fresh(envoy_1()).await.1.unwrap();
    assert!(contents(&response) == [table.as_slice()], "the table is remembered otherwise");
}

#[tokio::test]
async fn a_damaged_snapshot_is_served_to_nobody_and_replaced() {
    let (server, mut relay) = with_a_good_and_a_bad_one().await;
    let at = server.stop().await;
    relay.stop().await;
    let file = only_file(&relay.state.path().join("snapshots"));
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    relay.start().await;
    let refused = relay.fresh(envoy_1()).await.1.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");

    let server = Server::start_at(at).await;
    server.store.set("pool", listener("good"));
    let (envoy, response) = relay.fresh(envoy_1()).await;
    envoy.answers(&response.unwrap(), None).await;
    server.proxies.settled("pool", &listener("good"), PATIENCE).await;
    server.stop().await;
    relay.stop().await;
    relay.start().await;
    assert_eq!(contents(&relay.fresh(envoy_1()).await.1.unwrap()), [b"good"]);
}

fn only_file(folder: &Path) -> std::path::PathBuf {
    let mut files = fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[tokio::test]
async fn a_relay_listens_on_loopback_alone_and_its_folder_is_its_own() {
    let state = tempfile::tempdir().unwrap();
    let options = |listen: &str, xds: &str| Options {
        state_dir: state.path().to_path_buf(),
        listen: listen.parse().unwrap(),
        xds: xds.to_owned(),
    };
    let xds = "http://127.0.0.1:1";
    let _running = relay::start(options("127.0.0.1:0", xds)).await.unwrap();
    for (listen, xds, named) in
        [("0.0.0.0:0", xds, "loopback"), ("127.0.0.1:0", xds, "another relay")]
    {
        let error = relay::start(options(listen, xds)).await.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    for xds in ["127.0.0.1:1", "https://xds.example:1", "xds", ""] {
        let state_dir = state.path().join("another");
        let options = Options { state_dir, ..options("127.0.0.1:0", xds) };
        let error = relay::start(options).await.unwrap_err().to_string();
        assert!(error.contains("--xds"), "{error}");
    }
}
