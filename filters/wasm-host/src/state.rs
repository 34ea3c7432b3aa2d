//! Everything that one VM has on the host's side. It lives in the wasmtime store.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use wasmtime::{Memory, StoreLimits, TypedFunc};

use crate::abi::{Half, LogLevel, Side};
use crate::callouts::Delivered;
use crate::callouts::outstanding::Callouts;
use crate::contexts::connection::ConnectionContext;
use crate::contexts::exchange::StreamContext;
use crate::contexts::{Context, Origin, RootContext};
use crate::metrics::DefinedMetrics;
use crate::random::SeededRandom;
use crate::settings::Settings;
use crate::shared_queues::Membership;

/// The host's side of one VM.
pub(crate) struct HostState {
    pub(crate) settings: Arc<Settings>,
    pub(crate) canary: bool,
    pub(crate) limits: StoreLimits,
    pub(crate) guest: Option<GuestHandles>,
    pub(crate) random: SeededRandom,
    pub(crate) metrics: DefinedMetrics,
    pub(crate) contexts: HashMap<u32, Context>,
    pub(crate) callouts: Callouts,
    pub(crate) queues: Membership,
    /// What the running callback lets the guest read.
    pub(crate) delivered: Option<Delivered>,
    /// What the guest asked for that can only be done once it has returned.
    pub(crate) after_call: VecDeque<AfterCall>,
    /// The context that the running call was made for.
    pub(crate) current: u32,
    /// The context that the guest said it acts for, until its call returns.
    pub(crate) effective: Option<u32>,
}

/// Work that waits until the guest has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterCall {
    /// A direction of an exchange goes on.
    Resume(u32, Half),
    /// The exchange is answered.
    Reply(u32),
    /// One side of a connection goes on.
    Flow(u32, Side),
    /// The connection is closed.
    Close(u32),
    /// `proxy_done`: the context goes.
    Finish(u32),
}

/// A guest that asks for the same without end asks for no more than this in one call.
const MAX_AFTER_CALL: usize = 4096;

/// What host functions need of the guest, once it is instantiated.
#[derive(Clone)]
pub(crate) struct GuestHandles {
    pub(crate) memory: Memory,
    pub(crate) allocate: TypedFunc<u32, u32>,
}

impl HostState {
    pub(crate) fn new(settings: Arc<Settings>, canary: bool) -> Self {
        Self {
            canary,
            limits: settings.store_limits(),
            guest: None,
            random: SeededRandom::new(settings.seed),
            metrics: DefinedMetrics::default(),
            contexts: HashMap::new(),
            callouts: Callouts::default(),
            queues: settings.shared_queues.join(),
            delivered: None,
            after_call: VecDeque::new(),
            current: 0,
            effective: None,
            settings,
        }
    }

    /// The context that host functions act on.
    pub(crate) fn acting(&self) -> u32 {
        self.effective.filter(|id| self.contexts.contains_key(id)).unwrap_or(self.current)
    }

    /// The exchange that host functions act on; `None` in a root context or a connection.
    pub(crate) fn stream(&self) -> Option<&StreamContext> {
        match self.contexts.get(&self.acting())? {
            Context::Http(stream) => Some(stream),
            Context::Root(_) | Context::Tcp(_) => None,
        }
    }

    pub(crate) fn stream_mut(&mut self) -> Option<&mut StreamContext> {
        let id = self.acting();
        self.stream_by_id(id)
    }

    pub(crate) fn stream_by_id(&mut self, id: u32) -> Option<&mut StreamContext> {
        match self.contexts.get_mut(&id)? {
            Context::Http(stream) => Some(stream),
            Context::Root(_) | Context::Tcp(_) => None,
        }
    }

    /// The connection that host functions act on.
    pub(crate) fn connection_mut(&mut self) -> Option<&mut ConnectionContext> {
        let id = self.acting();
        self.connection_by_id(id)
    }

    pub(crate) fn connection_by_id(&mut self, id: u32) -> Option<&mut ConnectionContext> {
        match self.contexts.get_mut(&id)? {
            Context::Tcp(connection) => Some(connection),
            Context::Root(_) | Context::Http(_) => None,
        }
    }

    pub(crate) fn root_by_id(&mut self, id: u32) -> Option<&mut RootContext> {
        match self.contexts.get_mut(&id)? {
            Context::Root(root) => Some(root),
            Context::Http(_) | Context::Tcp(_) => None,
        }
    }

    /// What the context that host functions act on came from; `None` in a root context.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.contexts.get(&self.acting())?.origin()
    }

    pub(crate) fn origin_mut(&mut self) -> Option<&mut Origin> {
        let id = self.acting();
        self.contexts.get_mut(&id)?.origin_mut()
    }

    /// The root context that host functions act on: the stream's, where they act on a stream.
    pub(crate) fn root_mut(&mut self) -> Option<&mut RootContext> {
        let root = self.acting_root();
        self.root_by_id(root)
    }

    pub(crate) fn acting_root(&self) -> u32 {
        self.origin().map_or(self.acting(), |origin| origin.root)
    }

    /// What the running callback delivers, where the acting context is of the plugin that it is for.
    pub(crate) fn delivered(&self) -> Option<&Delivered> {
        self.delivered.as_ref().filter(|delivered| delivered.root == self.acting_root())
    }

    /// Leaves work for when the guest has returned.
    pub(crate) fn defer(&mut self, work: AfterCall) {
        if self.after_call.len() < MAX_AFTER_CALL && self.after_call.back() != Some(&work) {
            self.after_call.push_back(work);
        }
    }

    pub(crate) fn log(&self, level: LogLevel, message: &[u8]) {
        self.settings.logs.push(level, message, self.canary);
    }
}
