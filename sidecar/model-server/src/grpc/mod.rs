//! `inference.GRPCInferenceService`: one message in, one message out, at the same address, with
//! the same passport, the same checks and the same meter as REST.
//!
//! Source: "gRPC over HTTP2",
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>. Of it, unary calls without
//! compression are what this server needs, and a message is bounded as every body is; so that is
//! written here, over the same bodies.

mod calls;
mod frame;
mod method;
mod status;
mod timeout;

use http::{HeaderMap, header};

pub(crate) use calls::{answer, index};
pub(crate) use frame::{message, reply};
pub(crate) use method::Method;
pub(crate) use status::denied;

/// Whether a request is a call.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(frame::CONTENT_TYPE.as_bytes()))
}
