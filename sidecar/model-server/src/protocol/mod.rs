//! The Open Inference Protocol v2 over REST: paths, requests and answers. No tenants, no models.
//!
//! Source: "Open Inference Protocol (V2 Inference Protocol)",
//! <https://github.com/kserve/open-inference-protocol>, `specification/protocol/inference_rest.md`.
//!
//! Where the specification leaves a choice:
//! * `data` is taken flat or nested; nested arrays have to have the tensor's shape.
//! * `BYTES` elements are JSON strings, so they are UTF-8. `FP16` has no JSON form and is refused.
//! * JSON has no infinities and no NaN: an answer that would hold one is `inference_failed`.
//! * Integers have to be written as integers; `3.0` is none. Numbers for `FP32` and `FP64` are
//!   rounded to the nearest, and refused where they would become infinite.
//! * Parameters are taken and not looked at. Shared memory and binary tensors are not supported.

mod elements;
mod paths;
mod request;
mod response;
mod tensors;

use tenancy::problem::Problem;

pub(crate) use paths::{ModelPath, Path, Verb};
pub(crate) use request::InferRequest;
pub(crate) use response::{
    ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady, refuse_unwritable, write,
};

/// A request or an answer that the protocol cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct ProtocolError {
    pub(crate) problem: Problem,
    pub(crate) detail: String,
}

impl ProtocolError {
    fn new(problem: Problem, detail: impl Into<String>) -> Self {
        Self { problem, detail: detail.into() }
    }

    fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Problem::InvalidRequest, detail)
    }
}
