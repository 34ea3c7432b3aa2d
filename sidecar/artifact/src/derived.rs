//! Files that a node makes of its artifacts.
//!
//! Such a file is, all numbers little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `BHMADE01` |
//! | 8..16 | length of the content |
//! | 16..48 | SHA-256 of the content |
//! | 48..80 | the digest of the artifact that it was made of |
//! | 80..84 | length of the key |
//! | 84.. | the key, and zeros |
//! | 4096.. | the content |

use std::{
    fmt,
    fs::OpenOptions,
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};
use tenancy::Digest;

use crate::{
    ArtifactError, Mapped, PAGE_BYTES,
    incoming::Incoming,
    pinned::{Look, Pinned},
    store::NO_FOLLOW,
};

const MAGIC: &[u8; 8] = b"BHMADE01";
const LONGEST_KEY: usize = 64;

/// What a node makes of its artifacts once and keeps beside them: for each artifact and key one
/// file, mapped by whoever needs it. Clones share what is known of the files.
///
/// No registry knows the digest of such a file, so what is checked is that it is the one that a
/// process of this node wrote, whole and for this artifact and key. Against whoever may write to the
/// store's private folder it is no protection: it goes with its store, and to it.
#[derive(Clone)]
pub struct Derived {
    files: PathBuf,
    temporaries: PathBuf,
    pinned: Pinned<String>,
    making: Arc<Mutex<()>>,
    seals: bool,
}

/// Where the bytes that [`Derived::get_or_make`] gives are from.
#[derive(Debug)]
pub enum Origin {
    /// They were there.
    Kept,
    /// There was no file.
    Made,
    /// There was a file, which was not used for this reason, and is replaced.
    MadeAnew(ArtifactError),
}

/// A file that is being made.
#[derive(Debug)]
pub struct Making {
    file: Incoming,
    hasher: Sha256,
}

impl Derived {
    pub(crate) fn new(files: PathBuf, temporaries: PathBuf) -> Self {
        Self { files, temporaries, pinned: Pinned::default(), making: Arc::default(), seals: false }
    }

    /// As [`crate::Store::sealing`].
    pub(crate) fn sealing(mut self) -> Self {
        self.seals = true;
        self
    }

    /// What was made of the artifact `of` under `key`, mapped. Where it is not there, or not as it
    /// was written, `make` writes it: in this process one file at a time, so that who waits for
    /// another one's finds it made. Two processes may both make it; one of the two equal files stays.
    ///
    /// The content is read and checked when it is first mapped by this process, and from then on only
    /// where the file looks changed, as by [`crate::Store::map`]. Blocks on the disk.
    ///
    /// # Errors
    /// [`ArtifactError::Key`], [`ArtifactError::Io`], and those of `make`; then nothing is left of
    /// what was written.
    pub fn get_or_make<E: From<ArtifactError>>(
        &self,
        of: &Digest,
        key: &str,
        make: impl FnOnce(&mut Making) -> Result<(), E>,
    ) -> Result<(Mapped, Origin), E> {
        let name = name(of, key)?;
        if let Ok(Some(mapped)) = self.find(of, key, &name) {
            return Ok((mapped, Origin::Kept));
        }
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = match self.find(of, key, &name) {
            Ok(Some(mapped)) => return Ok((mapped, Origin::Kept)),
            Ok(None) => Origin::Made,
            Err(error) => Origin::MadeAnew(error),
        };
        let mut making = Making::begin(&self.temporaries, &name)?;
        make(&mut making)?;
        let path = self.files.join(&name);
        let look = making.finish(of, key, &path)?;
        self.pinned.pin(&name, look);
        let gone = || ArtifactError::io("open", path)(ErrorKind::NotFound.into());
        Ok((self.find(of, key, &name)?.ok_or_else(gone)?, origin))
    }

    /// Removes what was made of artifacts that `is_referenced` denies. Returns how many files that
    /// were, and how many bytes they had together. Mappings stay whole.
    pub(crate) fn remove_unreferenced(
        &self,
        is_referenced: impl Fn(&Digest) -> bool,
    ) -> Result<(u64, u64), ArtifactError> {
        let mut removed = (0, 0);
        for path in crate::store::files(&self.files)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some((artifact, _)) = name.split_once('.') else { continue };
            let Ok(artifact) = format!("sha256:{artifact}").parse() else { continue };
            if is_referenced(&artifact) {
                continue;
            }
            self.pinned.forget(&name.to_owned());
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            if crate::store::remove_file(&path)? {
                removed = (removed.0 + 1, removed.1 + bytes);
            }
        }
        Ok(removed)
    }

    /// The file where it is there, and an error where it is and is not as it was written.
    fn find(&self, of: &Digest, key: &str, name: &String) -> Result<Option<Mapped>, ArtifactError> {
        let path = self.files.join(name);
        let file = match OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(ArtifactError::io("open", path)(cause)),
        };
        if self.seals {
            return checked(Mapped::sealed(&file, &path, of)?, &path, of, key).map(Some);
        }
        if self.pinned.holds(name, &file) {
            let mapped = Mapped::trusted(&file, &path, of)?;
            let says = mapped.get(16..48).and_then(|it| it.try_into().ok());
            let says = says.map(Digest::from_bytes).ok_or_else(|| damaged(&path))?;
            return Ok(Some(mapped.without_head(PAGE_BYTES, says)));
        }
        self.pinned.forget(name);
        // As of an artifact: a change while it is read then shows.
        let look = Look::of(&file);
        let checked = checked(Mapped::trusted(&file, &path, of)?, &path, of, key)?;
        self.pinned.pin(name, look);
        Ok(Some(checked))
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Derived({})", self.files.display())
    }
}

impl Making {
    fn begin(temporaries: &Path, name: &str) -> Result<Self, ArtifactError> {
        let mut file = Incoming::begin(temporaries, name)?;
        // Of what the head will say nothing is known yet.
        file.append(&[0; PAGE_BYTES])?;
        Ok(Self { file, hasher: Sha256::new() })
    }

    /// Appends `bytes` to the content, which starts at a page. Blocks on the disk.
    ///
    /// # Errors
    /// [`ArtifactError::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        self.file.append(bytes)?;
        self.hasher.update(bytes);
        Ok(())
    }

    fn finish(self, of: &Digest, key: &str, path: &Path) -> Result<Option<Look>, ArtifactError> {
        let Self { file, hasher } = self;
        let length = file.length() - PAGE_BYTES as u64;
        file.write_at(0, &head(of, key, length, &Digest::from_bytes(hasher.finalize().into())))?;
        file.finish(path)
    }
}

fn checked(mapped: Mapped, path: &Path, of: &Digest, key: &str) -> Result<Mapped, ArtifactError> {
    let (says, content) = mapped.split_at_checked(PAGE_BYTES).ok_or_else(|| damaged(path))?;
    let found = Digest::of(content);
    if says != head(of, key, content.len() as u64, &found) {
        return Err(damaged(path));
    }
    Ok(mapped.without_head(PAGE_BYTES, found))
}

fn damaged(path: &Path) -> ArtifactError {
    ArtifactError::Damaged { path: path.to_owned() }
}

fn head(of: &Digest, key: &str, length: u64, content: &Digest) -> Vec<u8> {
    let mut head = Vec::with_capacity(PAGE_BYTES);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(content.as_bytes());
    head.extend_from_slice(of.as_bytes());
    // `name` refused what is longer than fits.
    head.extend_from_slice(&(key.len() as u32).to_le_bytes());
    head.extend_from_slice(key.as_bytes());
    head.resize(PAGE_BYTES, 0);
    head
}

fn name(of: &Digest, key: &str) -> Result<String, ArtifactError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if key.is_empty() || key.len() > LONGEST_KEY || !key.bytes().all(is_name) {
        return Err(ArtifactError::Key { found: key.to_owned() });
    }
    Ok(format!("{}.{key}", of.hex()))
}
