//! A server in this process, on a free port of 127.0.0.1.

#![allow(dead_code)] // each test binary uses its own part of this

use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{Node, node::UserAgentVersionType};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use xds::{AdsService, Proxies, ProxyStatus, SnapshotStore};

pub struct Server {
    pub store: SnapshotStore,
    pub proxies: Proxies,
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(at: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (store, proxies) = (SnapshotStore::new(), Proxies::new());
        let service = AdsService::new(store.clone(), group_of, proxies.clone()).into_server();
        let serve = tonic::transport::Server::builder().add_service(service);
        let task = tokio::spawn(async move {
            serve.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { store, proxies, at, task }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.at)
    }

    /// Ends all streams and stops listening. Returns the address, to start another server at.
    pub async fn stop(self) -> SocketAddr {
        self.store.close();
        self.task.abort();
        // Aborted tasks end with an error that says so.
        let _aborted = self.task.await.is_err();
        self.at
    }

    /// Waits until the book says so.
    pub async fn until(&self, condition: impl Fn(&[ProxyStatus]) -> bool) {
        let mut changes = self.proxies.watch();
        let reached = async {
            while !condition(&self.proxies.list()) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("the book to say so");
    }
}

fn group_of(node: &Node) -> Result<String, Status> {
    let metadata = node.metadata.as_ref();
    let group = metadata.and_then(|it| it.fields.get("group")).and_then(|it| it.kind.as_ref());
    match group {
        Some(Kind::StringValue(group)) => Ok(group.clone()),
        _ => Err(Status::permission_denied("the node's metadata names no `group`")),
    }
}

pub fn node(id: &str, group: &str) -> Node {
    let value = Value { kind: Some(Kind::StringValue(group.to_owned())) };
    Node {
        id: id.to_owned(),
        metadata: Some(Struct { fields: [("group".to_owned(), value)].into() }),
        user_agent_name: "envoy".to_owned(),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion("1.40.0".to_owned())),
        ..Node::default()
    }
}
