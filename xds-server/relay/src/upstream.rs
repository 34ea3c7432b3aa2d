//! The xds-server, as far as it answers.

use std::{future::poll_fn, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
};
use http_body_util::{BodyExt as _, Limited};
use rand::Rng as _;
use tenancy::Digest;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    body::Body,
    client::GrpcService,
    codegen::http::{Request, Response, StatusCode},
    transport::{Channel, Endpoint},
};
use xds::{MAX_RESPONSE_BYTES, client::with_causes};

use crate::conversation::asks_for_all;

/// How long each step towards an open stream may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an xds-server may be silent on an open stream that it has to answer before it counts as
/// one that does not answer.
const SILENCE: Duration = Duration::from_secs(5);

/// How long fetching code may take, and how large it may be.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_CODE_BYTES: usize = 64 << 20;

/// The pause between two attempts to reach it, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How many requests may wait to be sent.
const WAITING_REQUESTS: usize = 16;

/// The xds-server.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    endpoint: Endpoint,
    /// For all that is no ADS.
    channel: Channel,
}

/// A stream to the xds-server.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) requests: mpsc::Sender<DeltaDiscoveryRequest>,
    pub(crate) responses: Streaming<DeltaDiscoveryResponse>,
    /// What it has answered already.
    pub(crate) first: Option<DeltaDiscoveryResponse>,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// It does not answer.
    Silent(String),
    /// It answers, and will not have this Envoy.
    Refused(Status),
}

impl Upstream {
    /// The xds-server at `http://host:port`.
    pub(crate) fn new(address: &str) -> anyhow::Result<Self> {
        let expected = || {
            format!(
                "expected --xds to be the xds-server's ADS as `http://host:port`, found `{address}`"
            )
        };
        let endpoint = Endpoint::from_shared(address.to_owned()).with_context(expected)?;
        ensure!(endpoint.uri().scheme_str() == Some("http"), expected());
        ensure!(endpoint.uri().authority().is_some(), expected());
        let endpoint = endpoint
            .connect_timeout(PATIENCE)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let channel = endpoint.connect_lazy();
        Ok(Self { endpoint, channel })
    }

    /// Opens a stream with an Envoy's first request.
    pub(crate) async fn open(&self, first: DeltaDiscoveryRequest) -> Result<Opened, Unopened> {
        let connected = timeout(PATIENCE, self.endpoint.connect()).await;
        let channel = connected.map_err(|_| too_slow())?.map_err(|error| silent(&error))?;
        let mut client = AggregatedDiscoveryServiceClient::new(channel)
            .max_decoding_message_size(MAX_RESPONSE_BYTES);
        let (requests, outgoing) = mpsc::channel(WAITING_REQUESTS);
        requests.send(first).await.map_err(|error| silent(&error))?;
        let opened = client.delta_aggregated_resources(ReceiverStream::new(outgoing));
        let opened = timeout(PATIENCE, opened).await.map_err(|_| too_slow())?;
        let responses = opened.map_err(unopened)?.into_inner();
        Ok(Opened { requests, responses, first: None })
    }

    /// Opens a stream with an Envoy's first request, and waits for an answer where one has to come.
    pub(crate) async fn open_answered(
        &self,
        first: DeltaDiscoveryRequest,
    ) -> Result<Opened, Unopened> {
        let is_answered = asks_for_all(&first);
        let mut opened = self.open(first).await?;
        if is_answered {
            timeout(SILENCE, opened.listen()).await.map_err(|_| too_slow())??;
        }
        Ok(opened)
    }

    /// Returns once the xds-server answers this request of an Envoy, or refuses it.
    pub(crate) async fn answers(&self, first: DeltaDiscoveryRequest) {
        let mut pause = FIRST_PAUSE;
        loop {
            // A part is taken off by chance, so that a fleet does not come at the same instant.
            let rest = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
            tokio::time::sleep(rest).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.answer(first.clone()).await {
                Ok(()) | Err(Unopened::Refused(_)) => return,
                Err(Unopened::Silent(reason)) => {
                    tracing::debug!(reason, "the xds-server does not answer yet");
                }
            }
        }
    }

    async fn answer(&self, first: DeltaDiscoveryRequest) -> Result<(), Unopened> {
        let is_answered = asks_for_all(&first);
        let mut opened = self.open(first).await?;
        // One that is up and has nothing for this Envoy yet is waited for, however long it takes.
        if is_answered { opened.listen().await } else { Ok(()) }
    }

    /// Passes on what is no ADS.
    pub(crate) async fn pass_on(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let mut channel = self.channel.clone();
        let ready = poll_fn(|context| GrpcService::<Body>::poll_ready(&mut channel, context)).await;
        ready.map_err(|error| Status::unavailable(with_causes(&error)))?;
        let answered = GrpcService::call(&mut channel, request).await;
        answered.map_err(|error| Status::unavailable(with_causes(&error)))
    }

    /// The code of this digest; nothing where the xds-server has none.
    pub(crate) async fn fetch(&self, digest: Digest) -> anyhow::Result<Option<Bytes>> {
        let fetched = timeout(FETCH_TIMEOUT, self.fetched(digest)).await;
        fetched.with_context(|| format!("no code within {} s", FETCH_TIMEOUT.as_secs()))?
    }

    async fn fetched(&self, digest: Digest) -> anyhow::Result<Option<Bytes>> {
        let request = Request::get(format!("/v1/wasm/{digest}")).body(Body::empty())?;
        let answer = self.pass_on(request).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        ensure!(answer.status().is_success(), "the xds-server answered with {}", answer.status());
        let body = Limited::new(answer.into_body(), MAX_CODE_BYTES).collect().await;
        let code = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        let found = Digest::of(&code);
        ensure!(found == digest, "expected code of {digest}, found {found}");
        Ok(Some(code))
    }
}

impl Opened {
    /// Waits for the first answer.
    async fn listen(&mut self) -> Result<(), Unopened> {
        let answer = self.responses.message().await.map_err(unopened)?;
        let ended = || Unopened::Silent("it ended the stream without an answer".to_owned());
        self.first = Some(answer.ok_or_else(ended)?);
        Ok(())
    }
}

/// A status that the xds-server means for the Envoy, or one that says that there is nobody.
fn unopened(status: Status) -> Unopened {
    match is_lost(status.code()) {
        true => Unopened::Silent(with_causes(&status)),
        false => Unopened::Refused(status),
    }
}

/// Whether a stream that ended so was lost, and not ended by what the xds-server decided.
pub(crate) fn is_lost(code: Code) -> bool {
    [Code::Cancelled, Code::Unknown, Code::DeadlineExceeded, Code::Internal, Code::Unavailable]
        .contains(&code)
}

fn silent(error: &dyn std::error::Error) -> Unopened {
    Unopened::Silent(with_causes(error))
}

fn too_slow() -> Unopened {
    Unopened::Silent("it did not answer in time".to_owned())
}
