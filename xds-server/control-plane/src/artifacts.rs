//! Model artifacts, kept by digest until a node fetches them.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tenancy::Digest;

/// The largest artifact taken, in bytes: what sidecars fetch at most.
pub(crate) const MAX_ARTIFACT_BYTES: u64 = 2 << 30;

/// A folder of files named by their digest.
#[derive(Clone)]
pub(crate) struct ArtifactStore {
    folder: PathBuf,
}

impl ArtifactStore {
    pub(crate) fn open(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Where the artifact is, and its size in bytes, if it is there.
    pub(crate) fn find(&self, digest: &Digest) -> Option<(PathBuf, u64)> {
        let path = self.path(digest);
        let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        Some((path, metadata.len()))
    }

    /// A place to write an artifact to before its digest is known to be right.
    pub(crate) fn incoming(&self) -> anyhow::Result<Incoming> {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.folder.join(format!(".incoming-{}-{number}", std::process::id()));
        let file = std::fs::File::create(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Incoming { file, path, hash: sha2::Sha256::default(), bytes: 0 })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }
}

/// An artifact on its way in. Dropping it leaves nothing behind.
pub(crate) struct Incoming {
    file: std::fs::File,
    path: PathBuf,
    hash: sha2::Sha256,
    bytes: u64,
}

impl Incoming {
    /// Takes the next bytes.
    pub(crate) fn write(&mut self, chunk: &[u8]) -> anyhow::Result<()> {
        use sha2::Digest as _;
        self.bytes += chunk.len() as u64;
        anyhow::ensure!(
            self.bytes <= MAX_ARTIFACT_BYTES,
            "expected an artifact of at most {MAX_ARTIFACT_BYTES} bytes"
        );
        self.hash.update(chunk);
        self.file.write_all(chunk).context("cannot write the artifact")
    }

    /// Puts the artifact in its place if its digest is `expected`; returns its size in bytes.
    pub(crate) fn finish(self, store: &ArtifactStore, expected: &Digest) -> anyhow::Result<u64> {
        use sha2::Digest as _;
        let found = Digest::from_bytes(self.hash.clone().finalize().into());
        anyhow::ensure!(
            found == *expected,
            "expected an artifact with digest {expected}, found {found}; send the file that the \
             resource names"
        );
        self.file.sync_all().context("cannot write the artifact")?;
        std::fs::rename(&self.path, store.path(expected)).context("cannot keep the artifact")?;
        sync_folder(&store.folder)?;
        Ok(self.bytes)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Gone already where it was kept under its digest.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .context("cannot keep the artifact")
}
