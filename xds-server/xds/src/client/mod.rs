//! The other end of the wire for processes of our own: a delta client that follows all resources of
//! a few types.
//!
//! It knows nothing of the server's side in this crate. It reconnects for ever, and tells the
//! server what it holds, so that only differences travel.

mod stream;
mod update;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use rand::Rng as _;
use tokio::sync::mpsc;
use tonic::transport::Endpoint;

pub use update::{Responder, Update, Updates, Upsert};

/// The server's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("expected the control plane's address as `http://host:port`, found `{address}`: {source}")]
pub struct AddressError {
    address: String,
    source: tonic::transport::Error,
}

/// What is held: versions by name, by type URL.
type Holdings = BTreeMap<String, HashMap<String, String>>;

/// Who connects where and for what; [`DeltaClient::start`] sets it off.
#[derive(Clone, Debug)]
pub struct DeltaClient {
    endpoint: Endpoint,
    node: Node,
    holdings: Holdings,
    shortest_pause: Duration,
    longest_pause: Duration,
}

impl DeltaClient {
    /// A client of the server at `http://host:port`, which calls itself `node_id`.
    pub fn new(address: &str, node_id: impl Into<String>) -> Result<Self, AddressError> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|source| AddressError { address: address.to_owned(), source })?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let node =
            Node { id: node_id.into(), user_agent_name: "bulkhead".to_owned(), ..Node::default() };
        Ok(Self {
            endpoint,
            node,
            holdings: Holdings::new(),
            shortest_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
        })
    }

    /// Adds an entry to the node's metadata, by which the server finds the group.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let value = Value { kind: Some(Kind::StringValue(value.into())) };
        let metadata = self.node.metadata.get_or_insert_with(Struct::default);
        metadata.fields.insert(key.into(), value);
        self
    }

    /// Follows all resources of this type.
    #[must_use]
    pub fn subscribe(mut self, type_url: impl Into<String>) -> Self {
        self.holdings.entry(type_url.into()).or_default();
        self
    }

    /// Follows this type, starting from resources that are held already: name and version, as an
    /// earlier [`Upsert`] gave them. The server sends only what differs, and what to let go.
    #[must_use]
    pub fn holding(
        mut self,
        type_url: impl Into<String>,
        held: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        self.holdings.entry(type_url.into()).or_default().extend(held);
        self
    }

    /// Bounds the pause between two attempts. The pause doubles from the shortest to the longest; a
    /// random part of up to one half is taken off, so that a fleet does not come back at the same
    /// instant.
    #[must_use]
    pub fn pauses(mut self, shortest: Duration, longest: Duration) -> Self {
        self.shortest_pause = shortest;
        self.longest_pause = longest.max(shortest);
        self
    }

    /// Connects in the background, within a tokio runtime, until the [`Updates`] are dropped.
    pub fn start(self) -> Updates {
        // One at a time: the next update is read once this one has been answered.
        let (sender, receiver) = mpsc::channel(1);
        let stop = sender.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = self.run(sender) => {}
                () = stop.closed() => {}
            }
        });
        Updates::new(receiver, task)
    }

    async fn run(mut self, updates: mpsc::Sender<(Update, Responder)>) {
        let mut pause = self.shortest_pause;
        loop {
            let attempt = stream::follow(&self.endpoint, &self.node, &mut self.holdings, &updates);
            let ended = Box::pin(attempt).await;
            if ended.answered {
                pause = self.shortest_pause;
            }
            let rest = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
            tracing::warn!(
                server = %self.endpoint.uri(),
                reason = ended.reason,
                retry_ms = rest.as_millis() as u64,
                "lost the control plane; keeping what is held"
            );
            tokio::time::sleep(rest).await;
            pause = (pause * 2).min(self.longest_pause);
        }
    }
}

/// An error with its causes, where its own words are only "transport error", as tonic's and reqwest's
/// are.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
