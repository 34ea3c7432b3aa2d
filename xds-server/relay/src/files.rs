//! The relay's folder: private, one relay's, and never with half a file under a file's name.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// What the name of a file begins with until the whole of it is on the disk.
const UNFINISHED: &str = "unfinished-";

/// A relay's folder, which no other relay has open.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Opens the folder, or makes it. What a relay that was killed has left unfinished is removed.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        private_folder(path)?;
        let lock = File::create(path.join("lock"))
            .with_context(|| format!("cannot write into {}", path.display()))?;
        if lock.try_lock().is_err() {
            bail!(
                "{} is in use by another relay; give each one a --state of its own",
                path.display()
            );
        }
        let state = Self { path: path.to_path_buf(), _lock: lock };
        for folder in [state.snapshots(), state.code()] {
            private_folder(&folder)?;
            remove_unfinished(&folder)
                .with_context(|| format!("cannot tidy up {}", folder.display()))?;
        }
        Ok(state)
    }

    /// Where what was taken lies.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// Where code lies.
    pub(crate) fn code(&self) -> PathBuf {
        self.path.join("code")
    }
}

/// Replaces `folder/name` by these parts, durably: after a crash it is the old file or the new one.
/// Only its owner may read it.
pub(crate) fn replace(folder: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.as_file().sync_all()?;
    file.persist(folder.join(name)).map_err(|failed| failed.error)?;
    // The name is on the disk once its folder is.
    File::open(folder)?.sync_all()
}

fn private_folder(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("cannot make the folder {} for its owner alone", path.display()))
}

fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_owners_and_one_relays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/relay");
        let state = StateDir::open(&path).unwrap();
        assert!(StateDir::open(&path).unwrap_err().to_string().contains("another relay"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for private in [path.clone(), state.snapshots(), state.code()] {
            assert_eq!(mode(&private), 0o700);
        }
        replace(&state.code(), "file", &[b"one", b"two"]).unwrap();
        let file = state.code().join("file");
        assert_eq!((mode(&file), fs::read(&file).unwrap()), (0o600, b"onetwo".to_vec()));
        let half = state.code().join(format!("{UNFINISHED}x"));
        fs::write(&half, "half").unwrap();
        drop(state);
        StateDir::open(&path).unwrap();
        assert!(!half.exists() && file.exists());
    }
}
