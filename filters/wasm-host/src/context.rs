//! Contexts: the host's side of the guest's root and stream contexts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::abi::{BufferKind, Half, MapKind};
use crate::settings::Properties;
use crate::{Headers, LocalResponse, Status};

/// What the host knows under one context id.
#[derive(Debug)]
pub(crate) enum Context {
    Root(RootContext),
    Stream(Box<StreamContext>),
}

/// One plugin configuration, alive in the VM.
#[derive(Debug)]
pub(crate) struct RootContext {
    pub(crate) configuration: Arc<[u8]>,
    /// Envoy shows the plugin configuration only while it hands it over.
    pub(crate) configuring: bool,
    pub(crate) tick_period: Option<Duration>,
    pub(crate) open_streams: usize,
    pub(crate) life: RootLife,
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
            tick_period: None,
            open_streams: 0,
            life: RootLife::Current,
        }
    }
}

/// One HTTP exchange.
#[derive(Debug)]
pub(crate) struct StreamContext {
    pub(crate) root: u32,
    pub(crate) request: Direction,
    pub(crate) response: Direction,
    /// Given by the embedder.
    pub(crate) properties: Properties,
    /// Set by the guest.
    pub(crate) filter_state: HashMap<Vec<u8>, Vec<u8>>,
    /// The first local response that the guest asked for in this stream.
    pub(crate) reply: Option<LocalResponse>,
    pub(crate) reset: bool,
    /// In the access log phase all headers can be read and none changed.
    pub(crate) logging: bool,
}

/// One direction of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    pub(crate) headers: Slot,
    pub(crate) body: Body,
    pub(crate) trailers: Slot,
    /// The guest's last answer held this direction back.
    pub(crate) paused: bool,
    /// The guest has let it go on since.
    pub(crate) resumed: bool,
}

/// A header map that the guest can reach only while it is open: from the call that hands it over
/// until the filter lets it pass.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) headers: Headers,
    pub(crate) open: bool,
    /// Whether there ever was such a map in this stream.
    pub(crate) seen: bool,
}

/// A body, as far as it has come and has not gone on.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) open: bool,
    /// The filter paused on it, so that the next piece is joined to it.
    pub(crate) buffering: bool,
}

impl Slot {
    pub(crate) fn open(&mut self, headers: Headers) {
        *self = Self { headers, open: true, seen: true };
    }

    pub(crate) fn pass(&mut self) -> Headers {
        self.open = false;
        self.headers.clone()
    }
}

impl Body {
    pub(crate) fn open(&mut self, piece: Vec<u8>) {
        if self.buffering {
            self.bytes.extend_from_slice(&piece);
        } else {
            self.bytes = piece;
        }
        self.open = true;
    }

    pub(crate) fn pass(&mut self) -> Vec<u8> {
        self.open = false;
        self.buffering = false;
        std::mem::take(&mut self.bytes)
    }

    /// Envoy's rule: a buffer can be put before, put after or replaced whole; no piece of it can.
    pub(crate) fn splice(&mut self, start: u32, length: u32, data: &[u8]) -> Result<(), Status> {
        let size = self.bytes.len();
        let reaches_end = |length: u32| usize::try_from(length).is_ok_and(|length| length >= size);
        match (start, length) {
            (0, 0) => {
                self.bytes.splice(0..0, data.iter().copied());
            }
            (0, length) if reaches_end(length) => self.bytes = data.to_vec(),
            (start, _) if start > 0 && reaches_end(start) => self.bytes.extend_from_slice(data),
            _ => return Err(Status::BadArgument),
        }
        Ok(())
    }
}

impl Direction {
    /// `proxy_continue_stream`: what the direction held goes on and is out of the guest's reach.
    fn resume(&mut self) {
        self.resumed = true;
        self.headers.open = false;
        self.trailers.open = false;
        self.body.open = false;
    }
}

impl StreamContext {
    pub(crate) fn new(root: u32, properties: Properties) -> Self {
        Self {
            root,
            request: Direction::default(),
            response: Direction::default(),
            properties,
            filter_state: HashMap::new(),
            reply: None,
            reset: false,
            logging: false,
        }
    }

    pub(crate) fn direction(&mut self, half: Half) -> &mut Direction {
        match half {
            Half::Request => &mut self.request,
            Half::Response => &mut self.response,
        }
    }

    /// The map, where the guest may read it now.
    pub(crate) fn readable(&self, kind: MapKind) -> Option<&Headers> {
        let slot = self.slot(kind)?;
        let readable =
            if self.logging { slot.seen && kind != MapKind::RequestTrailers } else { slot.open };
        readable.then_some(&slot.headers)
    }

    /// The map, where the guest may change it now.
    pub(crate) fn writable(&mut self, kind: MapKind) -> Option<&mut Headers> {
        let slot = match kind {
            MapKind::RequestHeaders => &mut self.request.headers,
            MapKind::RequestTrailers => &mut self.request.trailers,
            MapKind::ResponseHeaders => &mut self.response.headers,
            MapKind::ResponseTrailers => &mut self.response.trailers,
            MapKind::Callout => return None,
        };
        (slot.open && !self.logging).then_some(&mut slot.headers)
    }

    pub(crate) fn body(&mut self, kind: BufferKind) -> Option<&mut Body> {
        match kind {
            BufferKind::RequestBody => Some(&mut self.request.body),
            BufferKind::ResponseBody => Some(&mut self.response.body),
            _ => None,
        }
    }

    /// Lets a direction go on; Envoy takes the request's maps away whichever direction it is.
    pub(crate) fn resume(&mut self, half: Half) {
        self.direction(half).resume();
        self.request.headers.open = false;
        self.request.trailers.open = false;
        self.request.body.open = false;
    }

    fn slot(&self, kind: MapKind) -> Option<&Slot> {
        Some(match kind {
            MapKind::RequestHeaders => &self.request.headers,
            MapKind::RequestTrailers => &self.request.trailers,
            MapKind::ResponseHeaders => &self.response.headers,
            MapKind::ResponseTrailers => &self.response.trailers,
            MapKind::Callout => return None,
        })
    }
}
