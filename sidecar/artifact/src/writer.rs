//! Bytes on their way into the store.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tenancy::Digest;

use crate::{ArtifactError, incoming::Incoming, pinned::Pinned};

/// An artifact that is being written, chunk by chunk, and is not in the store yet.
///
/// It becomes an artifact by [`Writer::finish`] alone. A writer that is dropped before, or whose
/// bytes turn out to be the wrong ones, leaves nothing.
#[derive(Debug)]
pub struct Writer {
    file: Incoming,
    destination: PathBuf,
    expected: Digest,
    hasher: Sha256,
    limit: u64,
    pinned: Pinned<Digest>,
}

impl Writer {
    pub(crate) fn begin(
        temporaries: &Path,
        destination: PathBuf,
        expected: &Digest,
        limit: u64,
        pinned: &Pinned<Digest>,
    ) -> Result<Self, ArtifactError> {
        Ok(Self {
            file: Incoming::begin(temporaries, &expected.hex())?,
            destination,
            expected: *expected,
            hasher: Sha256::new(),
            limit,
            pinned: pinned.clone(),
        })
    }

    /// Appends `chunk`. Blocks on the disk.
    ///
    /// # Errors
    /// [`ArtifactError::TooLarge`] before the limit is passed on disk, [`ArtifactError::Io`].
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), ArtifactError> {
        let after = self.file.length().saturating_add(chunk.len() as u64);
        if after > self.limit {
            return Err(ArtifactError::TooLarge { digest: self.expected, limit: self.limit });
        }
        self.file.append(chunk)?;
        self.hasher.update(chunk);
        Ok(())
    }

    /// Puts the artifact into the store, durably, where its bytes are those that were promised,
    /// and returns how many there are. Replaces a file that is there under the same digest, which
    /// is how a damaged one is healed. Blocks on the disk.
    ///
    /// # Errors
    /// [`ArtifactError::DigestMismatch`], [`ArtifactError::Empty`], [`ArtifactError::Io`]; in each
    /// case nothing of it is left.
    pub fn finish(self) -> Result<u64, ArtifactError> {
        let length = self.file.length();
        if length == 0 {
            return Err(ArtifactError::Empty { digest: self.expected });
        }
        let found = Digest::from_bytes(self.hasher.finalize().into());
        if found != self.expected {
            return Err(ArtifactError::DigestMismatch { expected: self.expected, found });
        }
        let look = self.file.finish(&self.destination)?;
        self.pinned.pin(&self.expected, look);
        Ok(length)
    }
}
