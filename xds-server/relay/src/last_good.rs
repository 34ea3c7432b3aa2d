//! What an Envoy took last, served to it in the xds-server's place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_stream::try_stream;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use tokio_stream::StreamExt as _;
use tonic::{Status, Streaming};
use xds::{AdsService, Proxies, SnapshotStore};

use crate::{
    ads::Responses,
    resources::{Resources, snapshot},
};

/// There is one group: the Envoy.
const GROUP: &str = "";

/// Serves `taken` until `answers` says that the xds-server is back; then the stream is ended, and the
/// Envoy connects anew.
pub(crate) fn serve(
    taken: &Resources,
    first: DeltaDiscoveryRequest,
    requests: Streaming<DeltaDiscoveryRequest>,
    answers: impl Future<Output = ()> + Send + 'static,
) -> Responses {
    let store = SnapshotStore::new();
    store.set(GROUP, snapshot(taken));
    let service = AdsService::new(store, |_| Ok(GROUP.to_owned()), Proxies::new());
    let held = Held::default();
    let noting = held.clone();
    let requests = tokio_stream::once(Ok(first)).chain(requests);
    let requests = requests.map(move |request| request.inspect(|request| noting.note(request)));
    let mut responses = service.delta(requests);
    let responses = try_stream! {
        let mut answers = std::pin::pin!(answers);
        loop {
            let response = tokio::select! {
                response = responses.next() => response,
                () = &mut answers => Some(Err(back())),
            };
            let Some(response) = response else { return };
            let response = response?;
            yield held.without_harm(response);
        }
    };
    Box::pin(responses)
}

/// What the Envoy said to hold when it connected: versions by name, by type URL.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<HashMap<String, HashMap<String, String>>>>);

impl Held {
    fn note(&self, request: &DeltaDiscoveryRequest) {
        let versions = &request.initial_resource_versions;
        if !versions.is_empty() {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            held.entry(request.type_url.clone()).or_default().extend(versions.clone());
        }
    }

    /// The response without what would take something away from the Envoy. What it holds in another
    /// version than is remembered is the newer of the two.
    fn without_harm(&self, mut response: DeltaDiscoveryResponse) -> DeltaDiscoveryResponse {
        response.removed_resources.clear();
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get(&response.type_url) {
            response.resources.retain(|it| held.get(&it.name).is_none_or(|has| *has == it.version));
        }
        response
    }
}

fn back() -> Status {
    tracing::info!("the xds-server is back; its Envoy is to connect anew");
    Status::unavailable("the xds-server is back; connect again")
}
