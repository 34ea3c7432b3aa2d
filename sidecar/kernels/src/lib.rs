//! Matrix products over weights that lie packed in somebody else's memory, a mapped file for one.
//!
//! A fixed matrix is kept as [`Panels`]: its columns in groups of as many as a kernel's registers
//! hold, each group row after row. That is the order in which a kernel reads, so a file that holds
//! panels is run from where it is mapped, without a copy. [`Scratch`] multiplies by them with
//! kernels for the processor that it runs on ([`lanes`] says which panels those read): tract-linalg's,
//! and two of this crate's own, for AVX-512 and for a single row. It allocates nothing once it has
//! seen the largest product. Cores that are idle can help with a large one ([`Helpers`]).
//!
//! This crate knows nothing of models, graphs or files. It holds `unsafe` in one place, the calls
//! of kernels (`run.rs`), behind lengths that were checked. Start with [`Scratch::product`].

mod error;
mod functions;
mod helpers;
mod low_rank;
mod made;
mod native;
mod operand;
mod pack;
mod panels;
mod row;
mod run;
mod scratch;
mod tiles;
mod tiling;

pub use error::KernelError;
pub use functions::Function;
pub use helpers::{Busy, Helpers, give_way};
pub use low_rank::{Correction, LowRank, column_blocks};
pub use native::{TILES, kernel_names, lanes};
pub use panels::{Element, PanelShape, Panels};
pub use scratch::{Finish, Scratch};
