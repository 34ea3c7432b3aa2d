//! What becomes of one phase of a stream.

use crate::Headers;
use crate::contexts::exchange::End;

/// What the proxy does after it gave one phase to the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It goes on with this: the phase's headers, body or trailers as the filter left them.
    Continue(T),
    /// It answers the caller itself. Later phases of the stream do not reach the filter.
    LocalResponse(LocalResponse),
    /// It waits until the filter lets the stream go on; ask the stream's `request_outcome` or
    /// `response_outcome` later. A body that is paused is kept and joined to the next piece.
    Paused,
    /// It resets the stream, because the filter closed it.
    Reset,
}

impl<T> Outcome<T> {
    /// What goes on, where the phase goes on.
    pub fn continued(self) -> Option<T> {
        match self {
            Self::Continue(passed) => Some(passed),
            _ => None,
        }
    }

    /// The local response, where there is one.
    pub fn local_response(self) -> Option<LocalResponse> {
        match self {
            Self::LocalResponse(response) => Some(response),
            _ => None,
        }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Continue(passed) => Outcome::Continue(change(passed)),
            Self::LocalResponse(response) => Outcome::LocalResponse(response),
            Self::Paused => Outcome::Paused,
            Self::Reset => Outcome::Reset,
        }
    }
}

impl End {
    pub(crate) fn outcome<T>(self) -> Outcome<T> {
        match self {
            Self::Reset => Outcome::Reset,
            Self::Answered(response) => Outcome::LocalResponse(response),
        }
    }
}

/// What goes on of a direction that was paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The headers, as the filter left them.
    pub headers: Headers,
    /// The body that was held back and that no phase has returned, as the filter left it.
    pub body: Vec<u8>,
    /// The trailers, as the filter left them; also those that it added to the last piece of a body.
    pub trailers: Headers,
}

/// What the proxy does with one event of a TCP connection after it gave it to the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionOutcome<T> {
    /// It goes on with this: the bytes as the filter left them, with those that it had paused.
    Continue(T),
    /// It waits. Bytes that are paused are joined to the next ones.
    Paused,
    /// The connection is closed: the filter closed it, or it is broken and fails closed.
    Closed,
}

impl<T> ConnectionOutcome<T> {
    /// What goes on, where it goes on.
    pub fn continued(self) -> Option<T> {
        match self {
            Self::Continue(passed) => Some(passed),
            Self::Paused | Self::Closed => None,
        }
    }
}

/// A response that the proxy makes itself, as it reaches the caller: after the filter's own response
/// phases, which Envoy runs over local responses too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// The HTTP status.
    pub status: u16,
    /// Headers without `:status`. Where there is a body, `content-length` is set, and `content-type`
    /// is `text/plain` unless the filter gave one; where there is none, both are gone. A gRPC request
    /// (`content-type: application/grpc`) is answered as gRPC is: status 200, `grpc-status`, and the
    /// body as `grpc-message`. What Envoy adds at its listener (`date`, `server`) is not here.
    pub headers: Headers,
    /// The body; empty for a HEAD request and for a gRPC request.
    pub body: Vec<u8>,
    /// The response code details that go to the access log, with `_` for each space.
    pub details: String,
    /// The gRPC status that the filter gave, if one.
    pub grpc_status: Option<u32>,
}

/// The response code details of a stream whose filter is broken and fails closed.
pub(crate) const FAIL_STREAM_DETAILS: &str = "wasm_fail_stream";

impl LocalResponse {
    /// What callers get from a filter that fails closed.
    pub(crate) fn failed_closed() -> Self {
        Self {
            status: 503,
            headers: Headers::new(),
            body: Vec::new(),
            details: FAIL_STREAM_DETAILS.to_owned(),
            grpc_status: None,
        }
    }
}
