//! Model files on a node, named by their SHA-256 digest and read through a memory map.
//!
//! A file gets into the [`Store`] only with the digest that was promised for it, and out of it
//! only with that digest still true of the mapped bytes, so that what a node serves is what the
//! registry names, byte for byte.
//!
//! This crate knows nothing of tenants, models or formats, and fetches nothing: bytes come to it
//! and go from it. It is the one crate of the workspace that may hold `unsafe`, and it holds it
//! in one place, [`Mapped`]. Start with [`Store`].

mod error;
mod mapped;
mod store;
mod writer;

pub use error::ArtifactError;
pub use mapped::Mapped;
pub use store::{Removed, Store};
pub use writer::Writer;
