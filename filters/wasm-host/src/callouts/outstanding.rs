//! The book of calls that have no answer yet.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::callouts::{GrpcMessage, GrpcStreamState};
use crate::{Headers, Status};

/// A guest that dispatches without end is told that the host failed.
const MAX_OUTSTANDING: usize = 1024;
/// The most bytes that the calls of one kind, or the unread messages of all streams, can be together.
pub(crate) const MAX_CALL_BYTES: usize = 64 * 1024 * 1024;

/// One call: whose, until when, and what.
#[derive(Debug)]
pub(crate) struct Outstanding<T> {
    pub(crate) root: u32,
    /// On the monotonic clock; none where the guest gave no timeout.
    pub(crate) deadline: Option<Duration>,
    /// The embedder has its handle.
    pub(crate) handed_over: bool,
    /// What keeping it takes.
    bytes: usize,
    pub(crate) what: T,
}

/// What `proxy_http_call` asks for.
#[derive(Clone, Debug)]
pub(crate) struct HttpRequest {
    pub(crate) upstream: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    pub(crate) timeout: Option<Duration>,
}

/// What `proxy_grpc_call` and `proxy_grpc_stream` ask for.
#[derive(Clone, Debug)]
pub(crate) struct GrpcRequest {
    pub(crate) upstream: String,
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) initial_metadata: Headers,
    /// Empty for a stream.
    pub(crate) message: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
}

/// A gRPC stream that the guest opened.
#[derive(Debug)]
pub(crate) struct OpenStream {
    pub(crate) request: GrpcRequest,
    /// What the guest has sent and the embedder has not read.
    pub(crate) sent: VecDeque<GrpcMessage>,
    /// Bytes of those.
    pub(crate) unread: usize,
    pub(crate) state: GrpcStreamState,
}

/// Calls of one kind, by the guest's number for them.
#[derive(Debug)]
pub(crate) struct Calls<T> {
    by_id: BTreeMap<u32, Outstanding<T>>,
    last: u32,
}

/// The kinds share the numbers, as in the C++ host: the low two bits say which kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CallKind {
    Http = 0,
    Grpc = 1,
    GrpcStream = 2,
}

impl CallKind {
    pub(crate) fn of(call: u32) -> Option<Self> {
        match call & 3 {
            0 => Some(Self::Http),
            1 => Some(Self::Grpc),
            2 => Some(Self::GrpcStream),
            _ => None,
        }
    }
}

/// All of a VM's.
#[derive(Debug)]
pub(crate) struct Callouts {
    pub(crate) http: Calls<HttpRequest>,
    pub(crate) grpc: Calls<GrpcRequest>,
    pub(crate) streams: Calls<OpenStream>,
}

impl Default for Callouts {
    fn default() -> Self {
        Self {
            http: Calls::new(CallKind::Http),
            grpc: Calls::new(CallKind::Grpc),
            streams: Calls::new(CallKind::GrpcStream),
        }
    }
}

impl Callouts {
    /// The plugin is gone: Envoy cancels its calls.
    pub(crate) fn cancel_of(&mut self, root: u32) {
        self.http.by_id.retain(|_, call| call.root != root);
        self.grpc.by_id.retain(|_, call| call.root != root);
        self.streams.by_id.retain(|_, call| call.root != root);
    }

    /// The earliest moment at which a call times out.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let http = self.http.by_id.values().filter_map(|call| call.deadline);
        let grpc = self.grpc.by_id.values().filter_map(|call| call.deadline);
        http.chain(grpc).min()
    }

    /// The calls that have timed out by now, in the order of their deadlines.
    pub(crate) fn overdue(&self, now: Duration) -> Vec<u32> {
        let http = self.http.by_id.iter().map(|(id, call)| (call.deadline, *id));
        let grpc = self.grpc.by_id.iter().map(|(id, call)| (call.deadline, *id));
        let mut due: Vec<(Duration, u32)> = http
            .chain(grpc)
            .filter_map(|(deadline, id)| Some((deadline.filter(|it| *it <= now)?, id)))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }
}

impl HttpRequest {
    pub(crate) fn bytes(&self) -> usize {
        self.headers.byte_size() + self.body.len() + self.trailers.byte_size()
    }
}

impl GrpcRequest {
    pub(crate) fn bytes(&self) -> usize {
        let names = self.upstream.len() + self.service.len() + self.method.len();
        names + self.initial_metadata.byte_size() + self.message.len()
    }
}

impl Calls<OpenStream> {
    /// Bytes of what the guest has sent on all streams and the embedder has not read.
    pub(crate) fn unread(&self) -> usize {
        self.by_id.values().map(|stream| stream.what.unread).sum()
    }
}

impl<T> Calls<T> {
    fn new(kind: CallKind) -> Self {
        Self { by_id: BTreeMap::new(), last: kind as u32 }
    }

    /// Numbers one more call.
    pub(crate) fn add(
        &mut self,
        root: u32,
        deadline: Option<Duration>,
        bytes: usize,
        what: T,
    ) -> Result<u32, Status> {
        let all = self.by_id.values().fold(bytes, |sum, call| sum.saturating_add(call.bytes));
        if self.by_id.len() >= MAX_OUTSTANDING || all > MAX_CALL_BYTES {
            return Err(Status::InternalFailure);
        }
        // Numbers come round after 2^30 calls; the few that are outstanding are stepped over, and
        // zero is no number.
        loop {
            self.last = self.last.wrapping_add(4);
            if self.last > 3 && !self.by_id.contains_key(&self.last) {
                break;
            }
        }
        let call = Outstanding { root, deadline, handed_over: false, bytes, what };
        self.by_id.insert(self.last, call);
        Ok(self.last)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Outstanding<T>> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Outstanding<T>> {
        self.by_id.remove(&id)
    }

    /// The oldest call that the embedder has not seen.
    pub(crate) fn hand_over(&mut self) -> Option<(u32, &T)> {
        let (id, call) = self.by_id.iter_mut().find(|(_, call)| !call.handed_over)?;
        call.handed_over = true;
        Some((*id, &call.what))
    }
}
