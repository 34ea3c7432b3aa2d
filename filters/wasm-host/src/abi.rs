//! The numbers of proxy-wasm ABI 0.2.1.
//!
//! Source: the ABI's description (<https://github.com/proxy-wasm/spec>, `abi-versions/v0.2.1`) and,
//! where that is silent, the C++ host that Envoy embeds.

/// What a host function answers to the guest.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// No such key, property, buffer, metric or function.
    NotFound = 1,
    /// An argument has a value that the function cannot take, or a map that is not open in this phase.
    BadArgument = 2,
    /// A value could not be serialised.
    SerializationFailure = 3,
    /// A value could not be parsed.
    ParseFailure = 4,
    /// An expression could not be evaluated.
    BadExpression = 5,
    /// A pointer and length that do not lie within the guest's memory.
    InvalidMemoryAccess = 6,
    /// A queue with nothing in it.
    Empty = 7,
    /// The value was changed since the guest read it.
    CasMismatch = 8,
    /// The result has another type than the guest expects.
    ResultMismatch = 9,
    /// The host failed.
    InternalFailure = 10,
    /// The peer went away.
    BrokenConnection = 11,
    /// The proxy does not offer it. The one such answer here is Envoy's own: a paused upstream of a
    /// TCP connection cannot be continued (see [`Dialect`](crate::Dialect)).
    Unimplemented = 12,
}

/// Severity of a log line, lowest first.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every step.
    Trace = 0,
    /// For the filter's author.
    Debug = 1,
    /// For the operator; also what a guest writes to its standard output.
    Info = 2,
    /// Something is odd.
    Warn = 3,
    /// Something failed; also what a guest writes to its standard error.
    Error = 4,
    /// The filter cannot go on.
    Critical = 5,
}

impl LogLevel {
    pub(crate) fn from_abi(level: u32) -> Option<Self> {
        Some(match level {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            _ => return None,
        })
    }
}

/// A header map that a guest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    GrpcInitialMetadata,
    GrpcTrailingMetadata,
    HttpCallHeaders,
    HttpCallTrailers,
}

impl MapKind {
    pub(crate) fn from_abi(kind: u32) -> Result<Self, Status> {
        Ok(match kind {
            0 => Self::RequestHeaders,
            1 => Self::RequestTrailers,
            2 => Self::ResponseHeaders,
            3 => Self::ResponseTrailers,
            4 => Self::GrpcInitialMetadata,
            5 => Self::GrpcTrailingMetadata,
            6 => Self::HttpCallHeaders,
            7 => Self::HttpCallTrailers,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// A buffer that a guest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BufferKind {
    Body(Half),
    Data(Side),
    HttpCallBody,
    GrpcMessage,
    VmConfiguration,
    PluginConfiguration,
    ForeignArguments,
}

impl BufferKind {
    pub(crate) fn from_abi(kind: u32) -> Result<Self, Status> {
        Ok(match kind {
            0 => Self::Body(Half::Request),
            1 => Self::Body(Half::Response),
            2 => Self::Data(Side::Downstream),
            3 => Self::Data(Side::Upstream),
            4 => Self::HttpCallBody,
            5 => Self::GrpcMessage,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            8 => Self::ForeignArguments,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// The half of an HTTP exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Request,
    Response,
}

/// The side of a TCP connection that bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// From the client.
    Downstream,
    /// From the backend.
    Upstream,
}

/// What a guest continues or closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    Http(Half),
    Tcp(Side),
}

impl StreamKind {
    pub(crate) fn from_abi(kind: u32) -> Result<Self, Status> {
        Ok(match kind {
            0 => Self::Http(Half::Request),
            1 => Self::Http(Half::Response),
            2 => Self::Tcp(Side::Downstream),
            3 => Self::Tcp(Side::Upstream),
            _ => return Err(Status::BadArgument),
        })
    }
}

/// Who closed a connection.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Nobody knows.
    Unknown = 0,
    /// The proxy.
    Local = 1,
    /// The other end: the client of a downstream, the backend of an upstream.
    Remote = 2,
}

/// What a guest answers to a phase. The ABI has "continue" (0) and "pause" (1); the higher numbers are
/// those of the C++ host that Envoy embeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Continue,
    /// Headers wait; the body that follows is shown.
    HoldHeaders,
    /// Everything of the direction waits, and nothing more of it is shown.
    HoldAll,
    /// The body so far waits, and is shown again with the next piece.
    HoldBody,
    /// The piece of body goes nowhere: the guest keeps it itself.
    Swallow,
    HoldTrailers,
}
