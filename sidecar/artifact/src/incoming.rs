//! Files on their way to a name.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{ArtifactError, pinned::Look};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file that is being written and has no name that anybody looks for. It gets one by
/// [`Incoming::finish`] alone, and is removed where that does not come.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: File,
    temporary: PathBuf,
    length: u64,
    finished: bool,
}

impl Incoming {
    /// Begins a file in `temporaries`; `name` is for people.
    pub(crate) fn begin(temporaries: &Path, name: &str) -> Result<Self, ArtifactError> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let temporary = temporaries.join(format!("{name}.{}.{number}", process::id()));
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)
                .map_err(ArtifactError::io("create", &temporary))?;
            // The lock tells a sweep of abandoned files that this one is being written. The kernel
            // drops it with the process, whatever way that ends.
            file.lock().map_err(ArtifactError::io("lock", &temporary))?;
            // A sweep that came between its creation and its lock has taken it away.
            let look = file.metadata().map_err(ArtifactError::io("look at", &temporary))?;
            if look.nlink() > 0 {
                return Ok(Self { file, temporary, length: 0, finished: false });
            }
        }
    }

    /// Removes a file of which no living process has said that it is writing it, and says whether it
    /// did.
    pub(crate) fn remove_abandoned(temporary: &Path) -> Result<bool, ArtifactError> {
        let Ok(file) = File::open(temporary) else { return Ok(false) };
        // Held until the file is gone: who created it and waits for the lock then sees that it is.
        if file.try_lock().is_err() {
            return Ok(false);
        }
        crate::store::remove_file(temporary)
    }

    /// How many bytes were appended.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// Appends `bytes`.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        self.write_at(self.length, bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes `bytes` over those from `at` on.
    pub(crate) fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), ArtifactError> {
        self.file.write_all_at(bytes, at).map_err(ArtifactError::io("write", &self.temporary))
    }

    /// Gives the file its name, durably, in the place of what had that name before. Returns how it
    /// looks then.
    pub(crate) fn finish(mut self, destination: &Path) -> Result<Option<Look>, ArtifactError> {
        self.file
            .set_permissions(Permissions::from_mode(0o400))
            .map_err(ArtifactError::io("make read-only", &self.temporary))?;
        // The bytes reach the disk before their name does: a name must never mean half a file.
        self.file.sync_all().map_err(ArtifactError::io("sync", &self.temporary))?;
        fs::rename(&self.temporary, destination)
            .map_err(ArtifactError::io("move into the store", &self.temporary))?;
        self.finished = true;
        sync_folder_of(destination)?;
        Ok(Look::of(&self.file))
    }
}

impl Drop for Incoming {
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
