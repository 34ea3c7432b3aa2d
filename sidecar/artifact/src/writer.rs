//! Bytes on their way into the store.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest as _, Sha256};
use tenancy::Digest;

use crate::{ArtifactError, pinned::Pinned};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// An artifact that is being written, chunk by chunk, and is not in the store yet.
///
/// It becomes an artifact by [`Writer::finish`] alone. A writer that is dropped before, or whose
/// bytes turn out to be the wrong ones, leaves nothing.
#[derive(Debug)]
pub struct Writer {
    file: File,
    temporary: PathBuf,
    destination: PathBuf,
    expected: Digest,
    hasher: Sha256,
    written: u64,
    limit: u64,
    finished: bool,
    pinned: Pinned,
}

impl Writer {
    pub(crate) fn begin(
        temporaries: &Path,
        destination: PathBuf,
        expected: &Digest,
        limit: u64,
        pinned: &Pinned,
    ) -> Result<Self, ArtifactError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = temporaries.join(format!("{}.{}.{number}", expected.hex(), process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(ArtifactError::io("create", &temporary))?;
        // The lock tells a sweep of abandoned files that this one is being written. The kernel
        // drops it with the process, whatever way that ends.
        file.lock().map_err(ArtifactError::io("lock", &temporary))?;
        Ok(Self {
            file,
            temporary,
            destination,
            expected: *expected,
            hasher: Sha256::new(),
            written: 0,
            limit,
            finished: false,
            pinned: pinned.clone(),
        })
    }

    /// Appends `chunk`. Blocks on the disk.
    ///
    /// # Errors
    /// [`ArtifactError::TooLarge`] before the limit is passed on disk, [`ArtifactError::Io`].
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), ArtifactError> {
        let after = self.written.saturating_add(chunk.len() as u64);
        if after > self.limit {
            return Err(ArtifactError::TooLarge { digest: self.expected, limit: self.limit });
        }
        self.file.write_all(chunk).map_err(ArtifactError::io("write", &self.temporary))?;
        self.hasher.update(chunk);
        self.written = after;
        Ok(())
    }

    /// Puts the artifact into the store, durably, where its bytes are those that were promised,
    /// and returns how many there are. Replaces a file that is there under the same digest, which
    /// is how a damaged one is healed. Blocks on the disk.
    ///
    /// # Errors
    /// [`ArtifactError::DigestMismatch`], [`ArtifactError::Empty`], [`ArtifactError::Io`]; in each
    /// case nothing of it is left.
    pub fn finish(mut self) -> Result<u64, ArtifactError> {
        if self.written == 0 {
            return Err(ArtifactError::Empty { digest: self.expected });
        }
        let found = Digest::from_bytes(std::mem::take(&mut self.hasher).finalize().into());
        if found != self.expected {
            return Err(ArtifactError::DigestMismatch { expected: self.expected, found });
        }
        self.file
            .set_permissions(Permissions::from_mode(0o400))
            .map_err(ArtifactError::io("make read-only", &self.temporary))?;
        // The bytes reach the disk before their name does: a name must never mean half a file.
        self.file.sync_all().map_err(ArtifactError::io("sync", &self.temporary))?;
        fs::rename(&self.temporary, &self.destination)
            .map_err(ArtifactError::io("move into the store", &self.temporary))?;
        self.finished = true;
        self.pinned.pin(&self.expected, Pinned::look(&self.file));
        sync_folder_of(&self.destination)?;
        Ok(self.written)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody is left to tell of a failure; the next sweep removes what stays.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn sync_folder_of(path: &Path) -> Result<(), ArtifactError> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(ArtifactError::io("sync", folder))
}
