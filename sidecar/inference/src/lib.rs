//! Running a model: typed tensors in, typed tensors out.
//!
//! A [`Backend`] turns a file, a package or an ONNX file, into a [`Model`], and a model answers
//! [`Inputs`] with [`Outputs`]. [`pack()`] makes a package of an ONNX file: the model as a
//! [`plan::Plan`] where it has one, with its weights as kernels read them. Everything that a caller
//! can get wrong (a missing input, a shape, a datatype, a batch that is too large) is found here,
//! against the model's [`Signature`], before a kernel runs, and comes back as an [`InferError`]
//! that says what was expected.
//!
//! This crate knows nothing of tenants, HTTP or caches, and of a node's files only what it is given
//! to keep there what it makes of a package ([`artifact::Derived`]). Tensors carry the datatypes of the
//! Open Inference Protocol v2 and not its JSON. Start with [`Backend`], then [`pack()`]
//! and [`Signature::check`].

mod backend;
pub mod changes;
pub mod cpu;
mod datatype;
mod error;
mod example;
mod join;
mod lower;
mod operators;
mod pack;
pub mod plan;
mod request;
mod signature;
mod tensor;

pub use backend::{Backend, Limits, Model, OnDevice, Part};
pub use datatype::{DataType, UnknownDataType};
pub use error::{DeviceError, InferError, LoadError};
pub use half::f16;
pub use join::one_after_another;
pub use kernels::give_way;
pub use pack::{
    Adapted, Changed, Deviation, Pack, PackError, PackOver, Packed, Path, RUNS, Wider, pack,
    pack_over,
};
pub use request::{Inputs, Outputs};
pub use signature::{Signature, TensorSpec};
pub use tensor::{Tensor, TensorData};
