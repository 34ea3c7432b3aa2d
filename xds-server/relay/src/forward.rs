//! A stream that is passed on, both ways, message by message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_stream::try_stream;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::StreamExt as _;
use tonic::{Status, Streaming};

use crate::{
    ads::Responses,
    conversation::{Conversation, vouched_for},
    memory::{Memory, Who},
    upstream::{Opened, is_lost},
};

/// Passes on, and remembers what the Envoy takes. `first` has been sent already.
pub(crate) fn forward(
    opened: Opened,
    first: DeltaDiscoveryRequest,
    requests: Streaming<DeltaDiscoveryRequest>,
    who: Who,
    memory: Memory,
) -> Responses {
    let Opened { requests: onward, mut responses, first: mut answered } = opened;
    let heard = Heard { conversation: Arc::default(), who, memory };
    heard.said(&first);
    let mut other_way = JoinSet::new();
    other_way.spawn(pass_on(requests, onward, heard.clone()));
    let responses = try_stream! {
        // It ends with this one.
        let _other_way = other_way;
        loop {
            let response = match answered.take() {
                Some(response) => Some(response),
                None => responses.message().await.map_err(|status| heard.lost(status))?,
            };
            let Some(response) = response else { return };
            heard.conversation().offered(&response);
            yield response;
        }
    };
    Box::pin(responses)
}

/// Passes on what the Envoy says until one of the two has left.
async fn pass_on(
    mut requests: Streaming<DeltaDiscoveryRequest>,
    onward: mpsc::Sender<DeltaDiscoveryRequest>,
    heard: Heard,
) {
    while let Some(Ok(request)) = requests.next().await {
        let told = heard.vouched_for(&request);
        heard.said(&request);
        if onward.send(told).await.is_err() {
            return;
        }
    }
}

/// What is said on one stream, and where what follows from it is noted.
#[derive(Clone)]
struct Heard {
    conversation: Arc<Mutex<Conversation>>,
    who: Who,
    memory: Memory,
}

impl Heard {
    fn said(&self, request: &DeltaDiscoveryRequest) {
        self.memory.note(&self.who, |taken| self.conversation().said(request, taken));
    }

    /// Only what an Envoy says to hold is vouched for, and that it says in few requests.
    fn vouched_for(&self, request: &DeltaDiscoveryRequest) -> DeltaDiscoveryRequest {
        if request.initial_resource_versions.is_empty() {
            return request.clone();
        }
        let taken = self.memory.of(&self.who);
        vouched_for(request.clone(), taken.as_ref().map(|taken| &taken.resources))
    }

    fn conversation(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, status: Status) -> Status {
        let envoy = self.who.id();
        tracing::warn!(envoy, code = ?status.code(), reason = status.message(), "its stream ended");
        if is_lost(status.code()) {
            return Status::unavailable(format!("lost the xds-server: {}", status.message()));
        }
        status
    }
}
