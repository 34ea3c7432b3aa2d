//! The folder of artifacts on a node.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{ErrorKind, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tenancy::Digest;

use crate::{
    ArtifactError, Derived, Mapped, Writer,
    incoming::Incoming,
    pinned::{Look, Pinned},
};

const CHUNK_BYTES: usize = 64 * 1024;
pub(crate) const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// A content-addressed folder of artifacts: `sha256/<64 hexadecimal digits>`. What the node made of
/// them is beside them, in `derived` ([`Store::derived`]), and goes with them.
///
/// Every method blocks on the disk. Methods may be called from several threads and the folder
/// opened by several processes: two that insert the same artifact at once both succeed, and one
/// of the two equal files stays.
#[derive(Debug, Clone)]
pub struct Store {
    objects: PathBuf,
    temporaries: PathBuf,
    pinned: Pinned<Digest>,
    derived: Derived,
    seals: bool,
}

/// What [`Store::remove_unreferenced`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many artifacts.
    pub artifacts: u64,
    /// How many files that were made of artifacts.
    pub derived: u64,
    /// How many bytes artifacts and these files had together.
    pub bytes: u64,
    /// How many files that a process began to write and never finished.
    pub abandoned: u64,
}

impl Store {
    /// Opens the store in `folder`, which is made where it is missing. The folders in it are made
    /// private to this user.
    ///
    /// # Errors
    /// [`ArtifactError::Io`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ArtifactError> {
        let folder = folder.as_ref();
        let [objects, temporaries, derived] =
            ["sha256", "incoming", "derived"].map(|name| folder.join(name));
        for private in [&objects, &temporaries, &derived] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(private)
                .map_err(ArtifactError::io("create", private))?;
            // A folder that was there already keeps the mode that it had.
            fs::set_permissions(private, Permissions::from_mode(0o700))
                .map_err(ArtifactError::io("make private", private))?;
        }
        let derived = Derived::new(derived, temporaries.clone());
        Ok(Self { objects, temporaries, pinned: Pinned::default(), derived, seals: false })
    }

    /// From now on what is mapped is not the file but a copy of it in memory, checked after it was
    /// sealed, which no process can change: not one of this user, nor root by the file. Each
    /// [`Store::map`] then reads the whole file, and what it gives takes memory that comes back only
    /// when it is let go of.
    #[must_use]
    pub fn sealing(mut self) -> Self {
        self.seals = true;
        self.derived = self.derived.sealing();
        self
    }

    /// What this node makes of the artifacts, and keeps for as long as it keeps them.
    pub fn derived(&self) -> &Derived {
        &self.derived
    }

    /// Whether a file is there under this digest. Whether its bytes are still the right ones is
    /// for [`Store::map`] to find out.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Reads `bytes` to their end and keeps them as the artifact `expected`; at most `limit`
    /// bytes are accepted. Returns how many there were.
    ///
    /// # Errors
    /// [`ArtifactError::DigestMismatch`] with both digests, [`ArtifactError::TooLarge`],
    /// [`ArtifactError::Empty`], [`ArtifactError::Source`], [`ArtifactError::Io`]; in each case
    /// nothing of it is left, and an artifact that was there before stays.
    pub fn insert(
        &self,
        mut bytes: impl Read,
        expected: &Digest,
        limit: u64,
    ) -> Result<u64, ArtifactError> {
        let mut writer = self.writer(expected, limit)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match bytes.read(&mut chunk) {
                Ok(0) => return writer.finish(),
                Ok(read) => writer.write(chunk.get(..read).unwrap_or_default())?,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(ArtifactError::Source { digest: *expected, cause }),
            }
        }
    }

    /// Begins an artifact whose bytes come in chunks, as from a network; at most `limit` bytes
    /// are accepted.
    ///
    /// # Errors
    /// [`ArtifactError::Io`].
    pub fn writer(&self, expected: &Digest, limit: u64) -> Result<Writer, ArtifactError> {
        Writer::begin(&self.temporaries, self.path(expected), expected, limit, &self.pinned)
    }

    /// Maps the artifact. Its digest was checked when it arrived, and is checked again here, which
    /// reads the whole file, unless the file is the very one that was checked before by this
    /// process, and unchanged.
    ///
    /// "Unchanged" is what the file system says: same device, inode, length, times of change of
    /// content and of inode, to the nanosecond. The last of them moves with every write, also with
    /// one through a mapping, and with every change of mode or owner; only root can set it back, by
    /// the system's clock or by writing to the disk. What this does not hold against: root; a
    /// kernel before Linux 6.13, which keeps that time to a clock tick, for a change within the
    /// same tick as the check (at most 10 ms); a disk that gives other bytes than were written,
    /// which [`Store::verify`] is for; and a change, by this user or root, of a file that is mapped
    /// already (see [`Mapped`]).
    ///
    /// # Errors
    /// [`ArtifactError::Missing`]; [`ArtifactError::DigestMismatch`] where the file was damaged
    /// after it was stored, and then nothing is mapped; [`ArtifactError::Io`]. To heal a damaged
    /// artifact, insert it again.
    pub fn map(&self, digest: &Digest) -> Result<Mapped, ArtifactError> {
        let (file, path) = self.open_artifact(digest)?;
        if self.seals {
            return Mapped::sealed(&file, &path, digest)?.check();
        }
        if self.pinned.holds(digest, &file) {
            return Mapped::trusted(&file, &path, digest);
        }
        self.verified(&file, &path, digest)
    }

    /// Reads the whole artifact and checks its digest, whatever is known of it.
    ///
    /// # Errors
    /// As of [`Store::map`].
    pub fn verify(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let (file, path) = self.open_artifact(digest)?;
        self.verified(&file, &path, digest).map(drop)
    }

    fn verified(&self, file: &File, path: &Path, digest: &Digest) -> Result<Mapped, ArtifactError> {
        self.pinned.forget(digest);
        // What the file is has to be known from before its bytes are read: a change while they are
        // read then shows.
        let look = Look::of(file);
        let mapped = Mapped::verified(file, path, digest)?;
        self.pinned.pin(digest, look);
        Ok(mapped)
    }

    /// Opens the file itself: a link in its place leads out of the folder that is private, to a
    /// file that others may write.
    fn open_artifact(&self, digest: &Digest) -> Result<(File, PathBuf), ArtifactError> {
        let path = self.path(digest);
        match OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(&path) {
            Ok(file) => Ok((file, path)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                Err(ArtifactError::Missing { digest: *digest })
            }
            Err(cause) => Err(ArtifactError::io("open", path)(cause)),
        }
    }

    /// Removes one artifact and what was made of it, and says whether it was there. Mappings stay
    /// whole.
    ///
    /// # Errors
    /// [`ArtifactError::Io`].
    pub fn remove(&self, digest: &Digest) -> Result<bool, ArtifactError> {
        self.pinned.forget(digest);
        let was_there = remove_file(&self.path(digest))?;
        self.derived.remove_unreferenced(|other| other != digest)?;
        Ok(was_there)
    }

    /// Removes every artifact that `is_referenced` denies, what was made of such, and what crashed
    /// writers left. Mappings stay whole. Files of other names are left alone.
    ///
    /// An artifact that is inserted meanwhile and is not referenced yet may be removed: reference
    /// first, then insert.
    ///
    /// # Errors
    /// [`ArtifactError::Io`]; what was removed before stays removed.
    pub fn remove_unreferenced(
        &self,
        is_referenced: impl Fn(&Digest) -> bool,
    ) -> Result<Removed, ArtifactError> {
        let mut removed = Removed::default();
        for path in files(&self.objects)? {
            let Some(digest) = digest_named_by(&path) else { continue };
            if is_referenced(&digest) {
                continue;
            }
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            self.pinned.forget(&digest);
            if remove_file(&path)? {
                removed.artifacts += 1;
                removed.bytes += bytes;
            }
        }
        // What is made of one of them from now on is found by the next sweep.
        let (derived, bytes) = self.derived.remove_unreferenced(&is_referenced)?;
        removed.derived = derived;
        removed.bytes += bytes;
        for path in files(&self.temporaries)? {
            if Incoming::remove_abandoned(&path)? {
                removed.abandoned += 1;
            }
        }
        Ok(removed)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.objects.join(digest.hex())
    }
}

pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, ArtifactError> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(ArtifactError::io("list", folder))
}

fn digest_named_by(path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?;
    format!("sha256:{name}").parse().ok()
}

pub(crate) fn remove_file(path: &Path) -> Result<bool, ArtifactError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(ArtifactError::io("remove", path)(cause)),
    }
}
