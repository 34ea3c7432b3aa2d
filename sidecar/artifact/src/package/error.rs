//! Why a package was refused.

use tenancy::Digest;

/// Why a file is no package, or not one that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// It does not start as a package does.
    #[error("expected a package, which starts with `BHMODEL1`, found {found:?}")]
    NotPackage {
        /// The first bytes, readable.
        found: String,
    },
    /// It ends before what it says that it holds.
    #[error("expected {expected} bytes for the {what} of a package, found {found}: it was cut off")]
    Short {
        /// What is not there whole.
        what: String,
        /// How many bytes the file would need.
        expected: u64,
        /// How many it has.
        found: u64,
    },
    /// It was made by a release that does more than this one.
    #[error(
        "expected a package that this release can read, found {what}: update this node, or pack the model again with its release"
    )]
    Newer {
        /// What is not known here.
        what: String,
    },
    /// Its header is not the one that was written.
    #[error("expected a header with digest {expected}, found {found}: the file was altered")]
    HeaderDigest {
        /// What the file says.
        expected: Digest,
        /// What the bytes give.
        found: Digest,
    },
    /// Its header is no archive of a header.
    #[error("the header of a package is malformed: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// A section is not the one that was written.
    #[error(
        "expected section {section} with digest {expected}, found {found}: the file was altered"
    )]
    SectionDigest {
        /// Which section.
        section: String,
        /// What the header says.
        expected: Digest,
        /// What the bytes give.
        found: Digest,
    },
    /// There are bytes between sections, or after them, that belong to nothing.
    #[error("expected nothing but zeros at byte {at} of a package, found bytes of no section")]
    Stray {
        /// Where.
        at: u64,
    },
    /// More than a package can hold.
    #[error("expected a {what} of at most {limit} bytes, found {found}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The most that is accepted.
        limit: u64,
        /// What there is.
        found: u64,
    },
}
