//! One connection of the client, from its first request to its end.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use envoy_types::pb::google::rpc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Endpoint;

use super::{Holdings, Responder, Update, Upsert, with_causes};
use crate::MAX_RESPONSE_BYTES;

/// How a connection ended.
pub(super) struct Ended {
    /// The server answered at least once, so it is worth trying again soon.
    pub(super) answered: bool,
    pub(super) reason: String,
}

/// Follows the server until the connection ends, and keeps `holdings` up with what was accepted.
pub(super) async fn follow(
    endpoint: &Endpoint,
    node: &Node,
    holdings: &mut Holdings,
    updates: &mpsc::Sender<(Update, Responder)>,
) -> Ended {
    let mut answered = false;
    let result = exchange(endpoint, node, holdings, updates, &mut answered).await;
    let reason = match result {
        Ok(()) => "the server ended the stream".to_owned(),
        Err(Failure::Connect(error)) => with_causes(&error),
        Err(Failure::Stream(status)) => format!("{}: {}", status.code(), status.message()),
    };
    Ended { answered, reason }
}

enum Failure {
    Connect(tonic::transport::Error),
    Stream(Status),
}

async fn exchange(
    endpoint: &Endpoint,
    node: &Node,
    holdings: &mut Holdings,
    updates: &mpsc::Sender<(Update, Responder)>,
    answered: &mut bool,
) -> Result<(), Failure> {
    let channel = endpoint.connect().await.map_err(Failure::Connect)?;
    let mut client = AggregatedDiscoveryServiceClient::new(channel)
        .max_decoding_message_size(MAX_RESPONSE_BYTES);
    // Room for all first requests, which are written before the stream is open.
    let (requests, outgoing) = mpsc::channel(holdings.len().max(1));
    for (index, (type_url, held)) in holdings.iter().enumerate() {
        let node = (index == 0).then(|| node.clone());
        let first = first_request(node, type_url, held);
        requests.send(first).await.map_err(|_| Failure::Stream(gone()))?;
    }
    let mut responses = client
        .delta_aggregated_resources(ReceiverStream::new(outgoing))
        .await
        .map_err(Failure::Stream)?
        .into_inner();
    while let Some(response) = responses.message().await.map_err(Failure::Stream)? {
        *answered = true;
        let mut reply = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        if let Err(reason) = offer(response, holdings, updates).await {
            let code = tonic::Code::InvalidArgument as i32;
            reply.error_detail =
                Some(rpc::Status { code, message: reason, ..rpc::Status::default() });
        }
        requests.send(reply).await.map_err(|_| Failure::Stream(gone()))?;
    }
    Ok(())
}

fn first_request(
    node: Option<Node>,
    type_url: &str,
    held: &HashMap<String, String>,
) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node,
        type_url: type_url.to_owned(),
        resource_names_subscribe: vec!["*".to_owned()],
        initial_resource_versions: held.clone(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// Hands an update over and waits for its answer.
async fn offer(
    response: DeltaDiscoveryResponse,
    holdings: &mut Holdings,
    updates: &mpsc::Sender<(Update, Responder)>,
) -> Result<(), String> {
    let Some(held) = holdings.get_mut(&response.type_url) else {
        return Err(format!("not subscribed to {}", response.type_url));
    };
    let mut upserts = Vec::with_capacity(response.resources.len());
    for resource in response.resources {
        let value = resource.resource.ok_or_else(|| {
            format!("resource {} carries no content; send its `Any`", resource.name)
        })?;
        let upsert =
            Upsert { name: resource.name, version: resource.version, value: value.value.into() };
        upserts.push(upsert);
    }
    let removed = response.removed_resources;
    let versions: Vec<_> = upserts.iter().map(|it| (it.name.clone(), it.version.clone())).collect();
    let update = Update {
        type_url: response.type_url,
        version: response.system_version_info,
        upserts,
        removed: removed.clone(),
    };
    let (responder, answer) = Responder::new();
    updates.send((update, responder)).await.map_err(|_| "the client is stopping".to_owned())?;
    answer.await.unwrap_or_else(|_| Err("the update was dropped without an answer".to_owned()))?;
    held.extend(versions);
    for name in &removed {
        held.remove(name);
    }
    Ok(())
}

fn gone() -> Status {
    Status::unavailable("the server no longer reads")
}
