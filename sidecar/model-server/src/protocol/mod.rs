//! The Open Inference Protocol v2, over REST and gRPC: paths, requests and answers. No tenants, no
//! models.
//!
//! Source: "Open Inference Protocol (V2 Inference Protocol)",
//! <https://github.com/kserve/open-inference-protocol>, `specification/protocol/inference_rest.md`
//! and `inference_grpc.md`, and Triton's extensions of it for binary tensor data, statistics and
//! model repositories.
//!
//! Where the specification leaves a choice:
//! * `data` is taken flat or nested; nested arrays have to have the tensor's shape.
//! * In JSON, `BYTES` elements are strings, so they are UTF-8, and `FP16` has no form and is
//!   refused. As bytes both are whole.
//! * JSON has no infinities and no NaN: an answer that would hold one is `inference_failed`.
//! * Integers have to be written as integers; `3.0` is none. Numbers for `FP32` and `FP64` are
//!   rounded to the nearest, and refused where they would become infinite.
//! * Of the parameters, `binary_data_size`, `binary_data`, `binary_data_output` and `timeout` are
//!   looked at. Shared memory is not supported.

mod answer;
mod elements;
mod forms;
pub(crate) mod grpc;
mod paths;
mod raw;
mod request;
mod response;
mod seeds;
mod spec;
mod tensors;

use tenancy::problem::Problem;

pub(crate) use answer::{Written, carries, write};
pub(crate) use forms::Forms;
pub(crate) use paths::{ModelPath, Path, RepositoryPath, Verb};
pub(crate) use request::{InferRequest, read};
pub(crate) use response::{ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady};

/// What this server takes beyond the protocol itself, by the names that clients know.
pub(crate) const EXTENSIONS: &[&str] = &["binary_tensor_data", "model_repository", "statistics"];

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
