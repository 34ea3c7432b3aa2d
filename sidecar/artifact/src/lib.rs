//! Model files on a node, named by their SHA-256 digest and read through a memory map.
//!
//! A file gets into the [`Store`] only with the digest that was promised for it, and out of it
//! only with that digest still true of the mapped bytes, so that what a node serves is what the
//! registry names, byte for byte.
//!
//! A file may be of any format. One of them is this crate's own, the [`Package`] (`.bha`): a header
//! that says whose model it holds, and sections that lie in the file as they are read, so that
//! opening one is a look at its header.
//!
//! What a node makes of an artifact, and would otherwise make again whenever it needs it, it keeps in
//! a file beside it ([`Derived`]).
//!
//! This crate knows nothing of graphs, kernels or what a section means, decides nothing about
//! tenants, and fetches nothing: bytes come to it and go from it. It holds `unsafe` in one place,
//! [`Mapped`]. Start with [`Store`], then [`Package`].

mod derived;
mod error;
mod incoming;
mod mapped;
mod package;
mod pinned;
mod store;
mod writer;

pub use derived::{Derived, Making, Origin};
pub use error::ArtifactError;
pub use mapped::Mapped;
pub use package::{
    ArchivedHeader, ArchivedIdentity, ArchivedSection, ArchivedTensor, Header, Identity, OPTIONAL,
    PAGE_BYTES, Package, PackageBuilder, PackageError, Section, SectionKind, Tensor,
};
pub use store::{Removed, Store};
pub use writer::Writer;
