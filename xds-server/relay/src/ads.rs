//! ADS as an Envoy sees it: the xds-server while that answers, and else what the Envoy took last.

use async_stream::try_stream;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    aggregated_discovery_service_server::{
        AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
    },
};
use futures::stream::BoxStream;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};
use xds::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES};

use crate::{
    conversation::vouched_for,
    forward::forward,
    last_good,
    memory::{Memory, Who},
    stop_asked,
    upstream::{Unopened, Upstream},
};

/// What an Envoy is told.
pub(crate) type Responses = BoxStream<'static, Result<DeltaDiscoveryResponse, Status>>;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Relay {
    memory: Memory,
    upstream: Upstream,
    stopped: watch::Receiver<bool>,
}

impl Relay {
    pub(crate) fn new(memory: Memory, upstream: Upstream, stopped: watch::Receiver<bool>) -> Self {
        Self { memory, upstream, stopped }
    }

    pub(crate) fn into_server(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }

    fn serve(self, mut requests: Streaming<DeltaDiscoveryRequest>) -> Responses {
        let stopped = stop_asked(self.stopped.clone());
        let responses = try_stream! {
            let Some(first) = requests.next().await.transpose()? else { return };
            let mut responses = self.responses(first, requests).await?;
            let mut stopped = std::pin::pin!(stopped);
            loop {
                let response = tokio::select! {
                    response = responses.next() => response,
                    () = &mut stopped => Some(Err(stopping())),
                };
                let Some(response) = response else { return };
                yield response?;
            }
        };
        Box::pin(responses)
    }

    async fn responses(
        &self,
        first: DeltaDiscoveryRequest,
        requests: Streaming<DeltaDiscoveryRequest>,
    ) -> Result<Responses, Status> {
        let who = first.node.as_ref().map(Who::of).filter(|who| !who.id().is_empty());
        let who = who.ok_or_else(|| {
            Status::invalid_argument(
                "the first request of a stream names no node; set `node.id` in the bootstrap",
            )
        })?;
        let taken = self.memory.of(&who);
        let told = vouched_for(first.clone(), taken.as_ref().map(|taken| &taken.resources));
        let opened = match taken {
            Some(_) => self.upstream.open_answered(told.clone()).await,
            None => self.upstream.open(told.clone()).await,
        };
        let envoy = who.id().to_owned();
        match (opened, taken) {
            (Ok(opened), _) => {
                tracing::info!(envoy, "passing on what it and the xds-server say");
                Ok(forward(opened, first, requests, who, self.memory.clone()))
            }
            (Err(Unopened::Refused(status)), _) => {
                tracing::warn!(envoy, reason = status.message(), "the xds-server refuses it");
                Err(status)
            }
            (Err(Unopened::Silent(reason)), Some(taken)) => {
                let at = taken.at;
                tracing::warn!(envoy, reason, %at, "no xds-server; serving what it took last");
                let upstream = self.upstream.clone();
                let answers = async move { upstream.answers(told).await };
                Ok(last_good::serve(&taken.resources, first, requests, answers))
            }
            (Err(Unopened::Silent(reason)), None) => {
                tracing::error!(
                    envoy,
                    reason,
                    "no xds-server, and nothing is remembered that it took: it serves nobody until \
                     the xds-server is back"
                );
                Err(Status::unavailable(format!("the xds-server does not answer: {reason}")))
            }
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the relay is shutting down; connect again")
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Relay {
    type StreamAggregatedResourcesStream = BoxStream<'static, Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream = Responses;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented(
            "a relay speaks delta; set `api_type: DELTA_GRPC` in the bootstrap",
        ))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        Ok(Response::new(self.clone().serve(request.into_inner())))
    }
}
