//! Why a model was not loaded, and why a request was not answered.

use std::time::Duration;

use tenancy::problem::Problem;

use artifact::PackageError;

use crate::{DataType, changes::ChangesError, plan::PlanError};

/// Why a file is no model that can be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no ONNX file.
    #[error("expected an ONNX model, found bytes that do not decode as one: {detail}")]
    NotOnnx {
        /// What the decoder said.
        detail: String,
    },
    /// The file holds no graph, or a graph without outputs.
    #[error("expected an ONNX graph with at least one output, found none")]
    NoGraph,
    /// An input without a type or without a rank.
    #[error("expected graph input `{input}` to declare a datatype and a shape, found no {missing}")]
    UndeclaredInput {
        /// The input.
        input: String,
        /// What it lacks.
        missing: &'static str,
    },
    /// A datatype that the protocol cannot carry.
    #[error(
        "expected tensor `{tensor}` to have a datatype of the Open Inference Protocol, found {found}"
    )]
    UnsupportedDataType {
        /// The input or output.
        tensor: String,
        /// Its datatype, as the graph or the backend names it.
        found: String,
    },
    /// Two inputs, or two outputs, with one name.
    #[error("expected each input and output to have a name of its own, found `{name}` twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// One row of input needs more memory than a tensor may have.
    #[error(
        "expected every tensor to need at most {limit} bytes for one row, found one at node \
         `{node}` that needs {bytes}"
    )]
    TensorTooLarge {
        /// The node of the graph that makes the tensor.
        node: String,
        /// The bytes that it would need.
        bytes: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// The graph does not type, or uses an operator that the backend lacks.
    #[error("the model's graph cannot be run: {detail}")]
    Graph {
        /// What the backend said.
        detail: String,
    },
    /// The file starts as a package does and is none.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The package's plan cannot be run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A package that changes another one.
    #[error(
        "expected a package that stands for itself, found one with a base: name its base for it, or \
         pack it whole"
    )]
    Base,
    /// A base by which nothing can be run.
    #[error(
        "expected a base with a plan of its own, found one that tract runs or that has a base \
         itself: pack the model whole"
    )]
    NoBasePlan,
    /// The package's changes are not of the base that was given, or do not fit it.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// A package without a plan and without the file that it was made of.
    #[error("expected a plan or a source in the package, found neither: pack the model again")]
    NoSource,
    /// The backend panicked over the file.
    #[error("the model's graph makes the backend fail: {detail}")]
    Panicked {
        /// What the panic said.
        detail: String,
    },
}

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// An input of the model is not in the request.
    #[error("expected input `{input}` of datatype {datatype} and shape {shape:?}, found none")]
    MissingInput {
        /// The input.
        input: String,
        /// Its datatype.
        datatype: DataType,
        /// Its shape, with -1 where it is open.
        shape: Vec<i64>,
    },
    /// The request has a tensor that the model does not take.
    #[error("expected only inputs named {expected:?}, found `{input}`")]
    UnexpectedInput {
        /// The name that was found.
        input: String,
        /// The model's inputs.
        expected: Vec<String>,
    },
    /// Two tensors of the request have one name.
    #[error("expected each input once, found `{input}` twice")]
    DuplicateInput {
        /// The name.
        input: String,
    },
    /// A tensor has another datatype than the model's input.
    #[error("expected input `{input}` to have datatype {expected}, found {found}")]
    WrongDataType {
        /// The input.
        input: String,
        /// The model's datatype.
        expected: DataType,
        /// The request's datatype.
        found: DataType,
    },
    /// A tensor has another number of dimensions than the model's input.
    #[error("expected input `{input}` to have shape {expected:?}, found {found:?}")]
    WrongRank {
        /// The input.
        input: String,
        /// The model's shape, with -1 where it is open.
        expected: Vec<i64>,
        /// The request's shape.
        found: Vec<u64>,
    },
    /// A dimension that the model fixes is another.
    #[error("expected dimension {axis} of input `{input}` to be {expected}, found {found}")]
    WrongDimension {
        /// The input.
        input: String,
        /// Which dimension, counted from 0.
        axis: usize,
        /// What the model fixes it to.
        expected: u64,
        /// What the request has.
        found: u64,
    },
    /// Two dimensions that the model wants equal are not.
    #[error(
        "expected dimension {axis} of input `{input}` to be {expected}, as in input `{like}`, \
         found {found}"
    )]
    DimensionsDisagree {
        /// The later input.
        input: String,
        /// Which of its dimensions, counted from 0.
        axis: usize,
        /// The input that it has to agree with.
        like: String,
        /// That input's dimension.
        expected: u64,
        /// What the request has.
        found: u64,
    },
    /// The inputs have different numbers of rows.
    #[error(
        "expected input `{input}` to have {expected} rows, as input `{like}` has, found {found}"
    )]
    BatchDisagrees {
        /// The later input.
        input: String,
        /// The input that it has to agree with.
        like: String,
        /// That input's rows.
        expected: u64,
        /// What the request has.
        found: u64,
    },
    /// A dimension of 0 where the model leaves it open. An empty batch is one: it asks for nothing,
    /// and an answer to it would hide a caller's mistake.
    #[error("expected at least one element, found dimension {axis} of input `{input}` to be 0")]
    EmptyInput {
        /// The input.
        input: String,
        /// Which dimension, counted from 0.
        axis: usize,
    },
    /// More rows than one request may have.
    #[error("expected at most {limit} rows in one request, found {found}: send them in parts")]
    BatchTooLarge {
        /// The most rows.
        limit: u64,
        /// The request's rows.
        found: u64,
    },
    /// The product of a shape passes 64 bits.
    #[error(
        "expected the data of input `{input}` to fit its shape, found the impossible {shape:?}"
    )]
    ShapeTooLarge {
        /// The input.
        input: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A tensor's elements are more or fewer than its shape says.
    #[error("expected {expected} elements for shape {shape:?} of input `{input}`, found {found}")]
    LengthMismatch {
        /// The input.
        input: String,
        /// Its shape.
        shape: Vec<u64>,
        /// The product of the shape.
        expected: u64,
        /// The elements.
        found: u64,
    },
    /// An element of a `BYTES` tensor is no text.
    #[error("expected element {index} of input `{input}` to be UTF-8, found other bytes")]
    NotUtf8 {
        /// The input.
        input: String,
        /// Which element, counted from 0 in row-major order.
        index: usize,
    },
    /// The model failed on this input.
    #[error("the model failed on this input: {detail}")]
    Failed {
        /// What the backend said.
        detail: String,
    },
    /// The backend panicked on this input.
    #[error("the model failed on this input, by a panic: {detail}")]
    Panicked {
        /// What the panic said.
        detail: String,
    },
}

/// Why a device did not take a model, or did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// There is none, or it is not to be used.
    #[error("expected a device, found none that is to be used")]
    None,
    /// It has no memory left for this.
    #[error("expected {bytes} bytes of device memory, found fewer: {detail}")]
    OutOfMemory {
        /// How many were wanted.
        bytes: u64,
        /// What refused them.
        detail: String,
    },
    /// More than the device takes in one piece, whatever is free.
    #[error("expected at most {limit} bytes in one {what} on the device, found {found}")]
    TooLarge {
        /// One what.
        what: &'static str,
        /// The most that it takes.
        limit: u64,
        /// What there is.
        found: u64,
    },
    /// It is gone, or hangs.
    #[error("the device is lost: {detail}")]
    Lost {
        /// What was seen.
        detail: String,
    },
    /// Its driver has not compiled a kernel yet.
    #[error(
        "expected kernel `{kernel}` to be compiled within {within:?}, found that it is not yet"
    )]
    NotCompiled {
        /// Which one.
        kernel: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// It refused what it was told to do: a fault of the backend, not of the request.
    #[error("the device refused its work: {detail}")]
    Refused {
        /// What was said.
        detail: String,
    },
}

impl InferError {
    /// What the caller is told.
    pub const fn problem(&self) -> Problem {
        match self {
            Self::MissingInput { .. } => Problem::MissingInput,
            Self::UnexpectedInput { .. } => Problem::UnknownInput,
            Self::WrongDataType { .. } => Problem::WrongDatatype,
            Self::DuplicateInput { .. } | Self::NotUtf8 { .. } => Problem::InvalidRequest,
            Self::WrongRank { .. }
            | Self::WrongDimension { .. }
            | Self::DimensionsDisagree { .. }
            | Self::BatchDisagrees { .. }
            | Self::EmptyInput { .. }
            | Self::BatchTooLarge { .. }
            | Self::ShapeTooLarge { .. }
            | Self::LengthMismatch { .. } => Problem::BadShape,
            Self::Failed { .. } | Self::Panicked { .. } => Problem::InferenceFailed,
        }
    }
}
