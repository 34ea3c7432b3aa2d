//! Verified bytes of a file, mapped and not copied.

use std::{
    fmt,
    fs::File,
    io,
    ops::{Deref, Range},
    path::Path,
    sync::Arc,
};

use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tenancy::Digest;

use crate::ArtifactError;

/// The bytes of one artifact, or of what was made of it ([`crate::Derived`]), read-only, whose digest
/// was checked: when they were mapped, or before, where the file is known to be unchanged since (see
/// [`crate::Store::map`]).
///
/// Clones share one mapping; the last one to go unmaps it. Removing the artifact from the store
/// leaves mappings of it whole, because the file lives until nobody maps it.
///
/// # What could go wrong, and what stands against it
///
/// A mapping is a window on a file, not a copy. Where somebody truncates the file, touching a
/// page beyond its new end raises `SIGBUS`, which ends the process; where somebody writes to it,
/// the bytes change under the reader after their digest was checked. The store prevents both by
/// never writing a file in place: bytes are written to another name, made read-only and renamed,
/// so that a name, once there, always means one finished inode; and by keeping files in a
/// directory that no other user may enter. What is left is a process of the same user, or root,
/// that goes out of its way: against those there are sealed copies ([`crate::Store::sealing`]).
#[derive(Clone)]
pub struct Mapped {
    map: Arc<Mmap>,
    /// Less than is mapped where a file has a head, and where there is nothing, of which there is no
    /// mapping.
    bytes: Range<usize>,
    digest: Digest,
    /// Whether the pages are a file's, and no copy of it.
    is_of_a_file: bool,
}

impl Mapped {
    /// Maps `file`, which is known to hold the bytes that `digest` names.
    pub(crate) fn trusted(
        file: &File,
        path: &Path,
        digest: &Digest,
    ) -> Result<Self, ArtifactError> {
        Self::of(file, path, digest, map, true)
    }

    /// A sealed copy of `file` in memory: whatever becomes of the file, the copy stays as it is. What
    /// it holds is yet to be checked, which [`Mapped::check`] does.
    pub(crate) fn sealed(file: &File, path: &Path, digest: &Digest) -> Result<Self, ArtifactError> {
        let copy = sealed_copy(file).map_err(ArtifactError::io("copy into memory", path))?;
        Self::of(&copy, path, digest, map_privately, false)
    }

    fn of(
        file: &File,
        path: &Path,
        digest: &Digest,
        map: fn(&File) -> io::Result<Mmap>,
        is_of_a_file: bool,
    ) -> Result<Self, ArtifactError> {
        let length = file.metadata().map_err(ArtifactError::io("read the size of", path))?.len();
        if length == 0 {
            return Err(ArtifactError::Empty { digest: *digest });
        }
        let map = map(file).map_err(ArtifactError::io("map", path))?;
        Ok(Self { bytes: 0..map.len(), map: Arc::new(map), digest: *digest, is_of_a_file })
    }

    /// The bytes behind the first `head`, which are those that `digest` names.
    pub(crate) fn without_head(mut self, head: usize, digest: Digest) -> Self {
        self.bytes.start = head;
        self.digest = digest;
        self
    }

    /// Maps `file` and checks that it holds the bytes that `expected` names.
    pub(crate) fn verified(
        file: &File,
        path: &Path,
        expected: &Digest,
    ) -> Result<Self, ArtifactError> {
        Self::trusted(file, path, expected)?.check()
    }

    /// Checks that the bytes are those that the digest names.
    pub(crate) fn check(self) -> Result<Self, ArtifactError> {
        let (expected, found) = (self.digest, Digest::of(&self));
        if found != expected {
            return Err(ArtifactError::DigestMismatch { expected, found });
        }
        Ok(self)
    }

    /// A copy of `bytes` in memory of its own, aligned as a mapped file is. For bytes that are in
    /// no store: a package that is being made, for one.
    ///
    /// # Errors
    /// What the operating system said where it gave no memory.
    pub fn copied(bytes: &[u8]) -> io::Result<Self> {
        let mut map = MmapMut::map_anon(bytes.len().max(1))?;
        map.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let (bytes, digest) = (0..bytes.len(), Digest::of(bytes));
        Ok(Self { map: Arc::new(map.make_read_only()?), bytes, digest, is_of_a_file: false })
    }

    /// The digest that was found over these bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes are mapped for them: those of the whole file.
    pub fn mapped_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Whether its pages are those of a file, which the operating system may take back at any time and
    /// reads again when they are needed. A copy takes memory for as long as it is held.
    pub const fn is_of_a_file(&self) -> bool {
        self.is_of_a_file
    }

    /// Says that its pages will not be read soon, so that they are the first to go where memory is short
    /// (`MADV_COLD` of `madvise(2)`). They can be read as before.
    ///
    /// # Errors
    /// What the operating system said: that it knows nothing of the kind, for one.
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code, reason = "no safe crate gives this advice")]
    pub fn give_up_pages(&self) -> io::Result<()> {
        let start = self.map.as_ptr().cast_mut().cast();
        // SAFETY: the pages are those of a mapping that `self` holds, and the advice changes none of them.
        match unsafe { libc::madvise(start, self.map.len(), libc::MADV_COLD) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Other systems know no such advice.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub const fn give_up_pages(&self) -> io::Result<()> {
        Ok(())
    }
}

#[allow(unsafe_code, reason = "mapping a file is unsafe because the file may change under it")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapped bytes must not change or vanish while they are borrowed. `Store` upholds
    // this: the file is a finished inode, read-only, in a directory of mode 0700, and no code of
    // this crate opens a stored file for writing or truncates it; replacing and removing an
    // artifact rename and unlink, which leave the mapped inode alone.
    unsafe { Mmap::map(file) }
}

/// The bytes of `file` in a file of their own that is in no folder, and that nobody can write to,
/// cut off or make longer, nor take that back (`F_ADD_SEALS` of `fcntl(2)`).
fn sealed_copy(file: &File) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = File::from(memfd_create("artifact", flags)?);
    io::copy(&mut &*file, &mut &copy)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&copy, seals)?;
    Ok(copy)
}

#[allow(unsafe_code, reason = "mapping a file is unsafe because the file may change under it")]
fn map_privately(sealed: &File) -> io::Result<Mmap> {
    // SAFETY: the mapped bytes must not change or vanish while they are borrowed. The kernel upholds
    // this: `sealed_copy` has sealed the file against writing and against every change of its length.
    unsafe { MmapOptions::new().map_copy_read_only(sealed) }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.get(self.bytes.clone()).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapped({}, {} bytes)", self.digest, self.len())
    }
}
