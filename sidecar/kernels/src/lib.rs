//! Matrix products over weights that lie packed in somebody else's memory, a mapped file for one.
//!
//! A fixed matrix is kept as [`Panels`]: its columns in groups of as many as a kernel's registers
//! hold, each group row after row. That is the order in which a kernel reads, so a file that holds
//! panels is run from where it is mapped, without a copy. [`Scratch`] multiplies by them, with
//! tract-linalg's kernels for the processor that it runs on ([`lanes`] says which panels those
//! read), and allocates nothing once it has seen the largest product.
//!
//! This crate knows nothing of models, graphs or files. It holds `unsafe` in one place, the call
//! of a kernel (`run.rs`), behind lengths that were checked. Start with [`Scratch::product`].

mod error;
mod native;
mod operand;
mod pack;
mod panels;
mod run;
mod scratch;
mod tiling;

pub use error::KernelError;
pub use native::{kernel_names, lanes};
pub use panels::{Element, PanelShape, Panels};
pub use scratch::{Finish, Scratch};
