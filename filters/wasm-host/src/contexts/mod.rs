//! Contexts: the host's side of the guest's plugin (root) and stream contexts.

pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod exchange;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use connection::ConnectionContext;
use exchange::StreamContext;

use crate::settings::Properties;

/// What the host knows under one context id.
#[derive(Debug)]
pub(crate) enum Context {
    Root(RootContext),
    Http(Box<StreamContext>),
    Tcp(Box<ConnectionContext>),
}

/// One plugin configuration, alive in the VM.
#[derive(Debug)]
pub(crate) struct RootContext {
    pub(crate) configuration: Arc<[u8]>,
    /// Envoy shows the plugin configuration only while it hands it over.
    pub(crate) configuring: bool,
    pub(crate) timer: Option<Timer>,
    pub(crate) open_streams: usize,
    pub(crate) life: RootLife,
}

/// A root context's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    pub(crate) period: Duration,
    /// On the monotonic clock.
    pub(crate) due: Duration,
}

/// How far a root context is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootLife {
    /// It takes new streams.
    Current,
    /// A newer configuration took its place; it lives on for the streams that it has.
    Replaced,
    /// `proxy_on_done` answered false: it lives until the guest calls `proxy_done`.
    AwaitingDone,
    /// The guest called `proxy_done`: to be deleted once the guest has returned.
    Done,
}

impl RootContext {
    pub(crate) fn new(configuration: Arc<[u8]>) -> Self {
        Self {
            configuration,
            configuring: false,
            timer: None,
            open_streams: 0,
            life: RootLife::Current,
        }
    }
}

/// What HTTP and TCP contexts have in common.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) root: u32,
    /// Properties that the embedder gave.
    pub(crate) given: Properties,
    /// Properties that the guest set.
    pub(crate) set: HashMap<Vec<u8>, Vec<u8>>,
    /// When it began, since the Unix epoch.
    pub(crate) began: Duration,
    pub(crate) life: StreamLife,
    /// What the guest has put into maps and properties.
    pub(crate) kept_bytes: usize,
}

/// How far a stream context is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamLife {
    Open,
    /// `proxy_on_done` answered false, and the guest is heard: it lives until `proxy_done`.
    AwaitingDone,
    /// The guest called `proxy_done`.
    Done,
}

impl Origin {
    pub(crate) fn new(root: u32, given: Properties, began: Duration) -> Self {
        Self { root, given, set: HashMap::new(), began, life: StreamLife::Open, kept_bytes: 0 }
    }
}

impl Context {
    /// `None` for a root.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Root(_) => None,
            Self::Http(stream) => Some(&stream.origin),
            Self::Tcp(connection) => Some(&connection.origin),
        }
    }

    pub(crate) fn origin_mut(&mut self) -> Option<&mut Origin> {
        match self {
            Self::Root(_) => None,
            Self::Http(stream) => Some(&mut stream.origin),
            Self::Tcp(connection) => Some(&mut connection.origin),
        }
    }
}
