//! Which stored files are known to hold what they should.

use std::{
    collections::HashMap,
    fs::File,
    hash::Hash,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a file system says of a file that changes with every change of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    /// How `file` looks now, where the file system says.
    pub(crate) fn of(file: &File) -> Option<Self> {
        let it = file.metadata().ok()?;
        Some(Self {
            device: it.dev(),
            inode: it.ino(),
            length: it.len(),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
        })
    }
}

/// How each file looked when its content was checked, by its name. Clones share it. It is in memory
/// alone: what another process left on disk about a file is no better known than the file.
#[derive(Debug, Clone)]
pub(crate) struct Pinned<N> {
    looks: Arc<Mutex<HashMap<N, Look>>>,
}

impl<N> Default for Pinned<N> {
    fn default() -> Self {
        Self { looks: Arc::default() }
    }
}

impl<N: Clone + Eq + Hash> Pinned<N> {
    /// Remembers that the file that looked so held what belongs under `name`.
    pub(crate) fn pin(&self, name: &N, look: Option<Look>) {
        if let Some(look) = look {
            self.lock().insert(name.clone(), look);
        }
    }

    pub(crate) fn forget(&self, name: &N) {
        self.lock().remove(name);
    }

    /// Whether `file` is the one that was checked, unchanged.
    pub(crate) fn holds(&self, name: &N, file: &File) -> bool {
        let pinned = self.lock().get(name).copied();
        pinned.is_some() && pinned == Look::of(file)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<N, Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
