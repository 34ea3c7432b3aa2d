//! The folder that holds what the stack writes.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use rand::RngCore;
use tempfile::TempDir;

/// Marks a folder as one that may be emptied.
const MARKER: &str = "bulkhead-development-state";

/// The longest path of a Unix socket, in bytes (`sockaddr_un`, without its final zero).
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// A state folder that no other stack uses.
#[derive(Debug)]
pub(super) struct StateDir {
    path: PathBuf,
    /// Apart from the rest, because the path of a Unix socket must be short.
    sockets: TempDir,
    _lock: File,
    _temporary: Option<TempDir>,
}

impl StateDir {
    /// Opens `path`, or a temporary folder; empties it unless `keep`.
    pub(super) fn open(path: Option<PathBuf>, keep: bool) -> Result<Self> {
        let temporary = match path {
            Some(_) => None,
            None => Some(TempDir::with_prefix("bulkhead-")?),
        };
        let path = path.or_else(|| temporary.as_ref().map(|it| it.path().to_path_buf()));
        let path = path.context("no state folder")?;
        fs::create_dir_all(&path)
            .with_context(|| format!("could not make the state folder {}", path.display()))?;
        let path = path.canonicalize()?;
        let lock = claim(&path)?;
        if !keep {
            empty(&path)?;
        }
        let sockets = TempDir::with_prefix("bulkhead-")?;
        Ok(Self { path, sockets, _lock: lock, _temporary: temporary })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where logs go.
    pub(super) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// The folder `name`, made where it is not there.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.path.join(name);
        fs::create_dir_all(&folder)
            .with_context(|| format!("could not make the folder {}", folder.display()))?;
        Ok(folder)
    }

    /// The path of a Unix socket.
    pub(super) fn socket(&self, name: &str) -> Result<PathBuf> {
        let socket = self.sockets.path().join(format!("{name}.sock"));
        let length = socket.as_os_str().len();
        if length > MAX_SOCKET_PATH_BYTES {
            bail!(
                "expected a socket path of at most {MAX_SOCKET_PATH_BYTES} bytes, found {length} in {}; set TMPDIR to a shorter one",
                socket.display()
            );
        }
        Ok(socket)
    }

    /// The seal key, made once: what was sealed with it must open in the next run too.
    pub(super) fn seal_key(&self) -> Result<String> {
        let file = self.path.join("seal.key");
        if let Ok(key) = fs::read_to_string(&file) {
            return Ok(key.trim().to_owned());
        }
        let mut bytes = [0_u8; 32];
        rand::rng().fill_bytes(&mut bytes);
        let key = hex::encode(bytes);
        fs::write(&file, &key).with_context(|| format!("could not write {}", file.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        Ok(key)
    }
}

fn claim(path: &Path) -> Result<File> {
    let marker = path.join(MARKER);
    if !marker.exists() && fs::read_dir(path)?.next().is_some() {
        bail!(
            "expected a state folder of an earlier run or an empty one, found other files in {}; name another",
            path.display()
        );
    }
    let lock = File::create(&marker)?;
    if lock.try_lock().is_err() {
        bail!("{} is in use by another run; stop that one or name another folder", path.display());
    }
    Ok(lock)
}

fn empty(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == MARKER {
            continue;
        }
        let old = entry.path();
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(&old)
        } else {
            fs::remove_file(&old)
        };
        removed.with_context(|| format!("could not remove {}", old.display()))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_elses_files_is_never_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("thesis.tex");
        fs::write(&theirs, "").unwrap();
        assert!(StateDir::open(Some(folder.path().into()), false).is_err());
        assert!(theirs.exists());
    }

    #[test]
    fn a_folder_is_used_by_one_stack_at_a_time_and_kept_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let open = |keep| StateDir::open(Some(folder.path().into()), keep);
        let first = open(false).unwrap();
        let key = first.seal_key().unwrap();
        assert!(open(true).unwrap_err().to_string().contains("in use"));
        drop(first);
        assert_eq!(open(true).unwrap().seal_key().unwrap(), key);
        assert_ne!(open(false).unwrap().seal_key().unwrap(), key);
    }
}
