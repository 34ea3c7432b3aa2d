//! The gRPC service: one session for each stream, woken by requests and by snapshots.

use std::fmt;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use futures::Stream;
use futures::stream::BoxStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tonic::{Response, Status};

use crate::book::Connection;
use crate::delta::Delta;
use crate::session::{Push, Request, Session, Variant};
use crate::sotw::StateOfTheWorld;
use crate::store::Served;
use crate::{Proxies, SnapshotStore};

/// The largest response that is sent. gRPC clients take 4 MiB unless they are told otherwise; Envoy
/// takes more.
pub const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// The largest request that is taken. A proxy that reconnects names all that it holds in one.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;

/// One form of the protocol on the wire.
pub(crate) trait Wire: 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;
    const VARIANT: Variant;

    fn node(request: &Self::Request) -> Option<&Node>;
    fn request(request: Self::Request) -> Request;
    /// The response, with this number for the stamps of resources that have one.
    fn response(push: Push, stamp: u64) -> Self::Response;
}

type GroupOf = dyn Fn(&Node) -> Result<String, Status> + Send + Sync;

/// The Aggregated Discovery Service.
#[derive(Clone)]
pub struct AdsService {
    store: SnapshotStore,
    group_of: Arc<GroupOf>,
    proxies: Proxies,
}

impl fmt::Debug for AdsService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdsService").field("store", &self.store).finish_non_exhaustive()
    }
}

impl AdsService {
    /// Serves `store` and keeps book in `proxies`. `group_of` says which group a node belongs to,
    /// or refuses the stream with the status that it returns.
    pub fn new(
        store: SnapshotStore,
        group_of: impl Fn(&Node) -> Result<String, Status> + Send + Sync + 'static,
        proxies: Proxies,
    ) -> Self {
        Self { store, group_of: Arc::new(group_of), proxies }
    }

    /// The service to add to a tonic server. Keepalive is the server's to set; without it, a proxy
    /// that vanished without a word stays in the book as connected.
    pub fn into_server(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// One delta stream of a proxy whose requests come from elsewhere, for instance after another
    /// server had them. As on the wire, the first one names the node.
    pub fn delta(
        self,
        requests: impl Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Send + Unpin + 'static,
    ) -> BoxStream<'static, Result<DeltaDiscoveryResponse, Status>> {
        self.serve::<Delta>(requests)
    }

    fn serve<W: Wire>(
        self,
        mut requests: impl Stream<Item = Result<W::Request, Status>> + Send + Unpin + 'static,
    ) -> BoxStream<'static, Result<W::Response, Status>> {
        let responses = async_stream::try_stream! {
            let Some(first) = requests.next().await.transpose()? else { return };
            let (group, connection) = self.open::<W>(&first)?;
            let mut served = self.store.subscribe(&group, connection.node());
            let mut closed = self.store.closed();
            let mut session = Session::new(W::VARIANT, connection.remembered());
            receive::<W>(&mut session, &connection, first)?;
            loop {
                // Each response is made from what is newest when the proxy is ready to read it.
                loop {
                    let Some(snapshot) = served.newest() else { break };
                    let push = session.next(&snapshot, Instant::now());
                    connection.record(session.take_events());
                    let Some(push) = push else { break };
                    tracing::debug!(group, push.type_url, push.version, push.nonce, "push");
                    yield W::response(push, stamp());
                }
                let woken = wait(&mut requests, &mut served, &mut closed, session.wake_at());
                match woken.await {
                    Woken::Request(request) => {
                        receive::<W>(&mut session, &connection, request?)?;
                    }
                    Woken::Work => {}
                    Woken::Left => return,
                    Woken::Closed => Err(Status::unavailable(
                        "the control plane is shutting down; connect again",
                    ))?,
                }
            }
        };
        Box::pin(responses)
    }

    fn open<W: Wire>(&self, first: &W::Request) -> Result<(String, Connection), Status> {
        let node = W::node(first).ok_or_else(|| {
            Status::invalid_argument(
                "the first request of a stream carries no node; set `node.id` in the bootstrap",
            )
        })?;
        let group = (self.group_of)(node).inspect_err(|status| {
            tracing::warn!(node = node.id, reason = status.message(), "refused a proxy");
        })?;
        tracing::info!(node = node.id, group, variant = ?W::VARIANT, "proxy connected");
        let connection = self.proxies.connect(node, &group, W::VARIANT);
        Ok((group, connection))
    }
}

fn receive<W: Wire>(
    session: &mut Session,
    connection: &Connection,
    request: W::Request,
) -> Result<(), Status> {
    let request = W::request(request);
    if request.type_url.is_empty() {
        return Err(Status::invalid_argument(
            "a request on an aggregated stream carries no type_url",
        ));
    }
    let received = session.receive(request, Instant::now());
    connection.record(session.take_events());
    received.map_err(|excess| Status::resource_exhausted(excess.to_string()))
}

/// A number that no proxy was sent before, by this server or the one that ran before it.
fn stamp() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default()
}

/// What ended a stream's sleep.
enum Woken<R> {
    Request(Result<R, Status>),
    /// There may be something to send.
    Work,
    /// The proxy has ended the stream.
    Left,
    /// The server is ending all streams.
    Closed,
}

async fn wait<R>(
    requests: &mut (impl Stream<Item = Result<R, Status>> + Unpin),
    served: &mut Served,
    closed: &mut watch::Receiver<bool>,
    at: Option<Instant>,
) -> Woken<R> {
    let alarm = async {
        match at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        request = requests.next() => request.map_or(Woken::Left, Woken::Request),
        changed = served.changed() => changed.map_or(Woken::Closed, |()| Woken::Work),
        () = alarm => Woken::Work,
        _ = closed.wait_for(|closed| *closed) => Woken::Closed,
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for AdsService {
    type StreamAggregatedResourcesStream = BoxStream<'static, Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream =
        BoxStream<'static, Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        request: tonic::Request<tonic::Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Ok(Response::new(self.clone().serve::<StateOfTheWorld>(request.into_inner())))
    }

    async fn delta_aggregated_resources(
        &self,
        request: tonic::Request<tonic::Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Ok(Response::new(self.clone().serve::<Delta>(request.into_inner())))
    }
}
