//! The messages of `inference.GRPCInferenceService`.
//!
//! Source: "Open Inference Protocol", <https://github.com/kserve/open-inference-protocol>,
//! `specification/protocol/inference_grpc.md`, and Triton's extensions of it for repositories and
//! statistics. Fields that this server has no use for are left out, which the encoding allows.

use std::collections::HashMap;

use bytes::Bytes;
use prost::{Message, Oneof};

/// `ServerLiveRequest`, `ServerReadyRequest` and `ServerMetadataRequest`; nothing in it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Empty {}

/// `ServerLiveResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ServerLiveResponse {
    #[prost(bool, tag = "1")]
    pub(crate) live: bool,
}

/// `ServerReadyResponse` and `ModelReadyResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadyResponse {
    #[prost(bool, tag = "1")]
    pub(crate) ready: bool,
}

/// `ServerMetadataResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ServerMetadataResponse {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) extensions: Vec<String>,
}

/// `ModelReadyRequest`, `ModelMetadataRequest` and `ModelStatisticsRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// Empty for the default one.
    #[prost(string, tag = "2")]
    pub(crate) version: String,
}

/// `ModelMetadataResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelMetadataResponse {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) versions: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) platform: String,
    #[prost(message, repeated, tag = "4")]
    pub(crate) inputs: Vec<TensorMetadata>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) outputs: Vec<TensorMetadata>,
}

/// `ModelMetadataResponse.TensorMetadata`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorMetadata {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub(crate) shape: Vec<i64>,
}

/// `ModelInferRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelInferRequest {
    #[prost(string, tag = "1")]
    pub(crate) model_name: String,
    /// Empty for the default one.
    #[prost(string, tag = "2")]
    pub(crate) model_version: String,
    #[prost(string, tag = "3")]
    pub(crate) id: String,
    #[prost(map = "string, message", tag = "4")]
    pub(crate) parameters: HashMap<String, Parameter>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) inputs: Vec<InputTensor>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) outputs: Vec<RequestedOutput>,
    /// The elements of each input, in their order, where no input has contents.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub(crate) raw_input_contents: Vec<Bytes>,
}

/// `ModelInferRequest.InferInputTensor`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct InputTensor {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub(crate) shape: Vec<i64>,
    #[prost(map = "string, message", tag = "4")]
    pub(crate) parameters: HashMap<String, Parameter>,
    #[prost(message, optional, tag = "5")]
    pub(crate) contents: Option<Contents>,
}

/// `ModelInferRequest.InferRequestedOutputTensor`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RequestedOutput {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// `ModelInferResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelInferResponse {
    #[prost(string, tag = "1")]
    pub(crate) model_name: String,
    #[prost(string, tag = "2")]
    pub(crate) model_version: String,
    #[prost(string, tag = "3")]
    pub(crate) id: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) outputs: Vec<OutputTensor>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(crate) raw_output_contents: Vec<Vec<u8>>,
}

/// `ModelInferResponse.InferOutputTensor`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OutputTensor {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub(crate) shape: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    pub(crate) contents: Option<Contents>,
}

/// `InferTensorContents`: elements of the one list that the tensor's datatype belongs to.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Contents {
    /// `BOOL`
    #[prost(bool, repeated, tag = "1")]
    pub(crate) bools: Vec<bool>,
    /// `INT8`, `INT16` and `INT32`
    #[prost(int32, repeated, tag = "2")]
    pub(crate) ints: Vec<i32>,
    /// `INT64`
    #[prost(int64, repeated, tag = "3")]
    pub(crate) int64s: Vec<i64>,
    /// `UINT8`, `UINT16` and `UINT32`
    #[prost(uint32, repeated, tag = "4")]
    pub(crate) uints: Vec<u32>,
    /// `UINT64`
    #[prost(uint64, repeated, tag = "5")]
    pub(crate) uint64s: Vec<u64>,
    /// `FP32`
    #[prost(float, repeated, tag = "6")]
    pub(crate) fp32s: Vec<f32>,
    /// `FP64`
    #[prost(double, repeated, tag = "7")]
    pub(crate) fp64s: Vec<f64>,
    /// `BYTES`
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(crate) bytes: Vec<Vec<u8>>,
}

/// `InferParameter`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Parameter {
    #[prost(oneof = "ParameterChoice", tags = "1, 2, 3, 4, 5")]
    pub(crate) choice: Option<ParameterChoice>,
}

/// `InferParameter.parameter_choice`
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ParameterChoice {
    #[prost(bool, tag = "1")]
    Bool(bool),
    #[prost(int64, tag = "2")]
    Int64(i64),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(uint64, tag = "5")]
    Uint64(u64),
}

/// `RepositoryIndexRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RepositoryIndexRequest {
    /// Whether only models that are ready are asked for.
    #[prost(bool, tag = "2")]
    pub(crate) ready: bool,
}

/// `RepositoryIndexResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RepositoryIndexResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) models: Vec<ModelIndex>,
}

/// `RepositoryIndexResponse.ModelIndex`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelIndex {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(string, tag = "3")]
    pub(crate) state: String,
    #[prost(string, tag = "4")]
    pub(crate) reason: String,
}

/// `RepositoryModelLoadRequest` and `RepositoryModelUnloadRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RepositoryModelRequest {
    #[prost(string, tag = "2")]
    pub(crate) model_name: String,
}

/// `ModelStatisticsResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelStatisticsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) model_stats: Vec<ModelStatistics>,
}

/// `ModelStatistics`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelStatistics {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    /// In milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub(crate) last_inference: u64,
    /// Rows.
    #[prost(uint64, tag = "4")]
    pub(crate) inference_count: u64,
    /// Requests.
    #[prost(uint64, tag = "5")]
    pub(crate) execution_count: u64,
    #[prost(message, optional, tag = "6")]
    pub(crate) inference_stats: Option<InferStatistics>,
}

/// `InferStatistics`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct InferStatistics {
    #[prost(message, optional, tag = "1")]
    pub(crate) success: Option<StatisticDuration>,
    #[prost(message, optional, tag = "2")]
    pub(crate) fail: Option<StatisticDuration>,
    #[prost(message, optional, tag = "3")]
    pub(crate) queue: Option<StatisticDuration>,
    #[prost(message, optional, tag = "4")]
    pub(crate) compute_input: Option<StatisticDuration>,
    #[prost(message, optional, tag = "5")]
    pub(crate) compute_infer: Option<StatisticDuration>,
    #[prost(message, optional, tag = "6")]
    pub(crate) compute_output: Option<StatisticDuration>,
}

/// `StatisticDuration`
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct StatisticDuration {
    #[prost(uint64, tag = "1")]
    pub(crate) count: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) ns: u64,
}
