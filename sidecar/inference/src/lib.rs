//! Running a model: typed tensors in, typed tensors out.
//!
//! A [`Backend`] turns the bytes of an ONNX file into a [`Model`], and a model answers
//! [`Inputs`] with [`Outputs`]. Everything that a caller can get wrong (a missing input, a shape,
//! a datatype, a batch that is too large) is found here, against the model's [`Signature`],
//! before a kernel runs, and comes back as an [`InferError`] that says what was expected.
//!
//! This crate knows nothing of tenants, files, HTTP or caches. Tensors carry the datatypes of the
//! Open Inference Protocol v2 and not its JSON. Start with [`Backend`], then [`Signature::check`].

mod backend;
pub mod cpu;
mod datatype;
mod error;
mod request;
mod signature;
mod tensor;

pub use backend::{Backend, Limits, Model};
pub use datatype::{DataType, UnknownDataType};
pub use error::{InferError, LoadError};
pub use half::f16;
pub use request::{Inputs, Outputs};
pub use signature::{Signature, TensorSpec};
pub use tensor::{Tensor, TensorData};
