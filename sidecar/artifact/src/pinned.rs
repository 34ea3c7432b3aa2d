//! Which stored files are known to hold what they should.

use std::{
    collections::HashMap,
    fs::File,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tenancy::Digest;

/// What a file system says of a file that changes with every change of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// How each file looked when its digest was checked. Clones share it. It is in memory alone: what
/// another process left on disk about a file is no better known than the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pinned {
    looks: Arc<Mutex<HashMap<Digest, Look>>>,
}

impl Pinned {
    /// How `file` looks now, where the file system says.
    pub(crate) fn look(file: &File) -> Option<Look> {
        let it = file.metadata().ok()?;
        Some(Look {
            device: it.dev(),
            inode: it.ino(),
            length: it.len(),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
        })
    }

    /// Remembers that the file that looked so held what `digest` names.
    pub(crate) fn pin(&self, digest: &Digest, look: Option<Look>) {
        if let Some(look) = look {
            self.lock().insert(*digest, look);
        }
    }

    pub(crate) fn forget(&self, digest: &Digest) {
        self.lock().remove(digest);
    }

    /// Whether `file` is the one that was checked, unchanged.
    pub(crate) fn holds(&self, digest: &Digest, file: &File) -> bool {
        let pinned = self.lock().get(digest).copied();
        pinned.is_some() && pinned == Self::look(file)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
