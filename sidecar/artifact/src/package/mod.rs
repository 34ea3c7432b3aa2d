//! Packages: models as files that are run from where they are mapped.
//!
//! A package (`.bha`) is, all numbers little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `BHMODEL1` |
//! | 8..12 | length of the header |
//! | 12..16 | flags: what a reader has to know; 0, as there are none yet |
//! | 16..48 | SHA-256 of the header |
//! | 48..64 | 0 |
//! | 64.. | the header: an rkyv archive of [`Header`] |
//! | from multiples of 4096 | the sections that the header lists, in its order |
//!
//! What lies between is 0, and the file ends where its last section ends. The header holds the
//! SHA-256 of each section, so its own digest stands for the whole file.
//!
//! What comes later has three places: another magic where the header becomes another one, a flag
//! where something has to be known to read the rest, and sections of new kinds, which a reader
//! that does not know them refuses, or passes over where their kind says so ([`OPTIONAL`]). A
//! package of changes to another one names that one by its file's digest ([`Header::base`]), and has the
//! changes in [`SectionKind::Delta`] sections.

mod builder;
mod error;
mod header;
mod open;

pub use builder::PackageBuilder;
pub use error::PackageError;
pub use header::{
    ArchivedHeader, ArchivedIdentity, ArchivedSection, ArchivedTensor, Header, Identity, OPTIONAL,
    Section, SectionKind, Tensor,
};
pub use open::Package;

/// Sections start at multiples of so many bytes.
pub const PAGE_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"BHMODEL1";
const PREAMBLE_BYTES: usize = 64;
/// The largest header that is accepted, in bytes.
const MAX_HEADER_BYTES: usize = 16 << 20;
