//! One HTTP exchange, as the host keeps it.

use crate::abi::{Half, MapKind};
use crate::contexts::Origin;
use crate::contexts::body::Body;
use crate::{Headers, LocalResponse};

/// One HTTP exchange.
#[derive(Debug)]
pub(crate) struct StreamContext {
    pub(crate) origin: Origin,
    pub(crate) request: Direction,
    pub(crate) response: Direction,
    /// The first local response that the guest asked for in this stream, not yet sent.
    pub(crate) reply: Option<LocalResponse>,
    /// The local response that is in the filter's response phases now.
    pub(crate) answering: Option<LocalResponse>,
    /// How the exchange ended before its last phase.
    pub(crate) end: Option<End>,
    /// In the access log phase all maps can be read and none changed.
    pub(crate) logging: bool,
}

/// An end that the filter chose.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Reset,
    Answered(LocalResponse),
}

/// One direction of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    pub(crate) headers: Slot,
    pub(crate) body: Body,
    pub(crate) trailers: Slot,
    pub(crate) flow: Flow,
    /// The guest has let it go on since it was paused.
    pub(crate) resumed: bool,
    /// What came while all was held, and was not shown.
    pub(crate) waiting: Waiting,
    /// What went on without the embedder having asked yet.
    pub(crate) released: Vec<u8>,
    /// Bytes of body that have come.
    pub(crate) size: u64,
}

/// Whether a direction goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    #[default]
    Running,
    /// Something of it waits; what comes next is shown.
    Held,
    /// It waits whole; what comes next waits unseen.
    AllHeld,
}

/// Body and trailers behind paused headers.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) body: Vec<u8>,
    /// A body came, be it an empty last piece.
    pub(crate) any_body: bool,
    pub(crate) end_of_stream: bool,
    pub(crate) trailers: Option<Headers>,
}

/// A header map that the guest can reach only while it is open: from the call that hands it over
/// until the filter lets it pass.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) headers: Headers,
    pub(crate) open: bool,
    /// Whether there ever was such a map in this stream.
    pub(crate) seen: bool,
    /// Trailers that are not there can be added while the last piece of the body is shown.
    pub(crate) addable: bool,
}

impl Slot {
    pub(crate) fn open(&mut self, headers: Headers) {
        *self = Self { headers, open: true, seen: true, addable: false };
    }

    pub(crate) fn pass(&mut self) -> Headers {
        self.open = false;
        self.headers.clone()
    }
}

impl Direction {
    /// Puts what went on out of the guest's reach.
    pub(crate) fn close(&mut self) {
        self.headers.open = false;
        self.trailers.addable = false;
        self.trailers.open = false;
        self.body.open = false;
    }

    /// The held body goes on; the embedder will ask for it.
    pub(crate) fn release(&mut self, bytes: &[u8]) {
        self.released.extend_from_slice(bytes);
    }
}

impl StreamContext {
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin,
            request: Direction::default(),
            response: Direction::default(),
            reply: None,
            answering: None,
            end: None,
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
        let readable = if self.logging { slot.seen } else { slot.open };
        readable.then_some(&slot.headers)
    }

    /// The map, where the guest may change it now.
    pub(crate) fn writable(&mut self, kind: MapKind) -> Option<&mut Headers> {
        let slot = match kind {
            MapKind::RequestHeaders => &mut self.request.headers,
            MapKind::RequestTrailers => &mut self.request.trailers,
            MapKind::ResponseHeaders => &mut self.response.headers,
            MapKind::ResponseTrailers => &mut self.response.trailers,
            _ => return None,
        };
        if slot.addable && !slot.open {
            slot.open(Headers::new());
        }
        (slot.open && !self.logging).then_some(&mut slot.headers)
    }

    /// `proxy_continue_stream`. Envoy takes the request's maps away whichever direction it is.
    pub(crate) fn resume(&mut self, half: Half) {
        self.direction(half).resumed = true;
        self.direction(half).close();
        self.request.close();
    }

    fn slot(&self, kind: MapKind) -> Option<&Slot> {
        Some(match kind {
            MapKind::RequestHeaders => &self.request.headers,
            MapKind::RequestTrailers => &self.request.trailers,
            MapKind::ResponseHeaders => &self.response.headers,
            MapKind::ResponseTrailers => &self.response.trailers,
            _ => return None,
        })
    }
}
