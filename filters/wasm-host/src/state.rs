//! Everything that one VM has on the host's side. It lives in the wasmtime store.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::{Memory, StoreLimits, TypedFunc};

use crate::abi::LogLevel;
use crate::context::{Context, RootContext, StreamContext};
use crate::logs::LogRecord;
use crate::metrics::DefinedMetrics;
use crate::random::SeededRandom;
use crate::settings::Settings;

/// The host's side of one VM.
pub(crate) struct HostState {
    pub(crate) settings: Arc<Settings>,
    pub(crate) canary: bool,
    pub(crate) limits: StoreLimits,
    pub(crate) guest: Option<GuestHandles>,
    pub(crate) random: SeededRandom,
    pub(crate) metrics: DefinedMetrics,
    pub(crate) contexts: HashMap<u32, Context>,
    /// Roots whose guest called `proxy_done` in the running call.
    pub(crate) done_roots: Vec<u32>,
    /// The context that the running call was made for.
    pub(crate) current: u32,
    /// The context that the guest said it acts for, until its call returns.
    pub(crate) effective: Option<u32>,
}

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
            done_roots: Vec::new(),
            current: 0,
            effective: None,
            settings,
        }
    }

    /// The context that host functions act on.
    pub(crate) fn acting(&self) -> u32 {
        self.effective.filter(|id| self.contexts.contains_key(id)).unwrap_or(self.current)
    }

    /// The stream that host functions act on; `None` in a root context.
    pub(crate) fn stream(&self) -> Option<&StreamContext> {
        match self.contexts.get(&self.acting())? {
            Context::Stream(stream) => Some(stream),
            Context::Root(_) => None,
        }
    }

    pub(crate) fn stream_mut(&mut self) -> Option<&mut StreamContext> {
        let id = self.acting();
        self.stream_by_id(id)
    }

    pub(crate) fn stream_by_id(&mut self, id: u32) -> Option<&mut StreamContext> {
        match self.contexts.get_mut(&id)? {
            Context::Stream(stream) => Some(stream),
            Context::Root(_) => None,
        }
    }

    pub(crate) fn root_by_id(&mut self, id: u32) -> Option<&mut RootContext> {
        match self.contexts.get_mut(&id)? {
            Context::Root(root) => Some(root),
            Context::Stream(_) => None,
        }
    }

    /// The root context that host functions act on: the stream's, where they act on a stream.
    pub(crate) fn root_mut(&mut self) -> Option<&mut RootContext> {
        let root = self.acting_root();
        self.root_by_id(root)
    }

    pub(crate) fn acting_root(&self) -> u32 {
        self.stream().map_or(self.acting(), |stream| stream.root)
    }

    pub(crate) fn log(&self, level: LogLevel, message: &[u8]) {
        if level < self.settings.log_level {
            return;
        }
        self.settings.logs.push(LogRecord {
            level,
            message: String::from_utf8_lossy(message).into_owned(),
            canary: self.canary,
        });
    }
}
