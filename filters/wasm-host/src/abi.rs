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
    /// This host does not offer the function.
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
    /// Maps of callouts (gRPC metadata, HTTP call responses): known, and never open in this host.
    Callout,
}

impl MapKind {
    pub(crate) fn from_abi(kind: u32) -> Result<Self, Status> {
        Ok(match kind {
            0 => Self::RequestHeaders,
            1 => Self::RequestTrailers,
            2 => Self::ResponseHeaders,
            3 => Self::ResponseTrailers,
            4..=7 => Self::Callout,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// A buffer that a guest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BufferKind {
    RequestBody,
    ResponseBody,
    VmConfiguration,
    PluginConfiguration,
    /// Buffers of network filters and callouts: known, and never open in this host.
    Absent,
}

impl BufferKind {
    pub(crate) fn from_abi(kind: u32) -> Result<Self, Status> {
        Ok(match kind {
            0 => Self::RequestBody,
            1 => Self::ResponseBody,
            2..=5 | 8 => Self::Absent,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// The half of a stream that a guest continues or closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Request,
    Response,
}

impl Half {
    /// An HTTP filter has no connection halves (2 and 3): Envoy takes the call and does nothing.
    pub(crate) fn from_abi(kind: u32) -> Result<Option<Self>, Status> {
        Ok(match kind {
            0 => Some(Self::Request),
            1 => Some(Self::Response),
            2 | 3 => None,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// Zero lets iteration go on; anything else stops it.
pub(crate) const ACTION_CONTINUE: u32 = 0;
