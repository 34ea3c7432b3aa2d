//! Calls that guests make to other services, and that the embedder answers.

mod grpc_call;
mod grpc_stream;
mod http_call;
pub(crate) mod outstanding;
mod upstreams;

use std::sync::{Arc, Mutex};

pub use grpc_call::GrpcCall;
pub use grpc_stream::{GrpcMessage, GrpcStream, GrpcStreamState};
pub use http_call::{HttpCall, HttpResponse};
use thiserror::Error;
pub(crate) use upstreams::Upstreams;

use crate::error::Trap;
use crate::machine::Machine;
use crate::{Headers, Status};

/// An answer that did not reach the guest.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CalloutError {
    /// The guest cancelled the call, it has timed out, or the plugin that made it is gone.
    #[error(
        "expected an outstanding call, but call {call} is over: it was answered, timed out, was cancelled, or its plugin is gone"
    )]
    Over {
        /// The guest's number for it.
        call: u32,
    },
    /// The guest trapped on it.
    #[error(transparent)]
    Trap(#[from] Trap),
}

/// What every handle of a call has: whose it is, and the guest's number for it.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) machine: Arc<Mutex<Machine>>,
    pub(crate) call: u32,
}

impl Handle {
    pub(crate) fn over(&self) -> CalloutError {
        CalloutError::Over { call: self.call }
    }
}

/// What a callback about a call lets the guest read, for as long as it runs.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// The plugin that it is for.
    pub(crate) root: u32,
    pub(crate) http_headers: Option<Headers>,
    pub(crate) http_body: Option<Vec<u8>>,
    pub(crate) http_trailers: Option<Headers>,
    pub(crate) grpc_initial_metadata: Option<Headers>,
    pub(crate) grpc_message: Option<Vec<u8>>,
    pub(crate) grpc_trailing_metadata: Option<Headers>,
    pub(crate) foreign_arguments: Option<Vec<u8>>,
    /// What `proxy_get_status` tells.
    pub(crate) status: (u32, String),
}

/// What Envoy's HTTP client reports of a connection that broke, as `proxy_get_status` tells it.
pub(crate) const RESET: (u32, &str) = (Status::BrokenConnection as u32, "reset");

/// What Envoy's own answer to a call that took too long says.
pub(crate) const TIMEOUT_MESSAGE: &str = "upstream request timeout";

/// gRPC's code for HTTP's 504 (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>),
/// which is what Envoy's gRPC client makes of a call that took too long.
pub(crate) const GRPC_UNAVAILABLE: u32 = 14;
