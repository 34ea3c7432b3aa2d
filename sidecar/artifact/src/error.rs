//! Why an artifact was refused.

use std::{io, path::PathBuf};

use tenancy::Digest;

/// Why the store did not take or give an artifact.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The bytes are not those that the digest names.
    #[error(
        "expected an artifact with digest {expected}, found {found}: fetch it again, or correct \
         the digest that was registered"
    )]
    DigestMismatch {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes that are there.
        found: Digest,
    },
    /// The store holds no artifact with this digest.
    #[error("expected artifact {digest} in the store, found none: fetch it first")]
    Missing {
        /// The digest that was asked for.
        digest: Digest,
    },
    /// An artifact without a byte.
    #[error("expected the bytes of artifact {digest}, found none")]
    Empty {
        /// The digest that was asked for.
        digest: Digest,
    },
    /// More bytes came than are accepted.
    #[error("expected at most {limit} bytes for artifact {digest}, found more")]
    TooLarge {
        /// The digest that was asked for.
        digest: Digest,
        /// The most bytes that are accepted.
        limit: u64,
    },
    /// The source of the bytes failed before their end.
    #[error("could not read the bytes of artifact {digest}: {cause}")]
    Source {
        /// The digest that was asked for.
        digest: Digest,
        /// What the source said.
        cause: io::Error,
    },
    /// A file that was made of an artifact is not as it was written.
    #[error("expected `{}` as it was made of its artifact, found it damaged, cut off or another one", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// A key that names no file.
    #[error("expected a key of at most 64 letters, digits and hyphens, found `{found}`")]
    Key {
        /// The refused text.
        found: String,
    },
    /// The file system refused.
    #[error("could not {action} `{}`: {cause}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

impl ArtifactError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { action, path, cause }
    }
}
