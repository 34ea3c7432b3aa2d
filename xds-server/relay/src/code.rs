//! Filters' code by its digest. A file is checked each time that it is read: one that was changed is
//! as good as none.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use tenancy::Digest;

use crate::files;

/// How long code stays that nothing names: it is fetched before the filter that names it is taken.
const UNNAMED_FOR: Duration = Duration::from_secs(3600);

/// How the files' names end.
const EXTENSION: &str = "wasm";

/// The folder with code.
#[derive(Debug, Clone)]
pub(crate) struct CodeFolder {
    path: PathBuf,
}

impl CodeFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The code of this digest, where it is there and whole.
    pub(crate) async fn get(&self, digest: Digest) -> Option<Bytes> {
        let file = self.file(digest);
        tokio::task::spawn_blocking(move || read(&file, digest)).await.ok()?
    }

    /// Keeps code, which is of this digest.
    pub(crate) async fn keep(&self, digest: Digest, code: Bytes) {
        let folder = self.path.clone();
        let kept = tokio::task::spawn_blocking(move || {
            files::replace(&folder, &file_name(digest), &[&code])
        });
        let kept = kept.await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        if let Err(error) = kept {
            let folder = self.path.display();
            tracing::error!(%digest, %folder, %error, "code could not be kept; make room there");
        }
    }

    /// Whether the file of this digest is there, whole or not.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.file(digest).is_file()
    }

    /// Removes what is not among `named`, but for what has come lately. Blocks on the disk.
    pub(crate) fn sweep(&self, named: &BTreeSet<Digest>) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(hex) = name.strip_suffix(&format!(".{EXTENSION}")) else { continue };
            let digest = format!("sha256:{hex}").parse::<Digest>();
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > UNNAMED_FOR && digest.is_ok_and(|digest| !named.contains(&digest)) {
                fs::remove_file(entry.path())?;
                tracing::info!(name, "removed code that no snapshot names");
            }
        }
        Ok(())
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.path.join(file_name(digest))
    }
}

fn file_name(digest: Digest) -> String {
    format!("{}.{EXTENSION}", digest.hex())
}

fn read(file: &Path, digest: Digest) -> Option<Bytes> {
    let code = fs::read(file).ok()?;
    if Digest::of(&code) == digest {
        return Some(code.into());
    }
    tracing::error!(file = %file.display(), "code is damaged; it is fetched from the xds-server again");
    // Where it cannot be removed, it is damaged the next time too.
    let _ = fs::remove_file(file);
    None
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::SystemTime};

    use super::*;

    #[tokio::test]
    async fn damaged_code_is_never_given_and_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let code = CodeFolder::new(folder.path().to_path_buf());
        let digest = Digest::of(b"code");
        assert_eq!(code.get(digest).await, None);
        code.keep(digest, Bytes::from_static(b"code")).await;
        assert_eq!(code.get(digest).await.as_deref(), Some(&b"code"[..]));
        fs::write(code.file(digest), b"CODE").unwrap();
        assert_eq!(code.get(digest).await, None);
        assert!(!code.has(digest));
    }

    #[tokio::test]
    async fn old_code_is_swept_when_nothing_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let code = CodeFolder::new(folder.path().to_path_buf());
        let [named, lost, fresh] = ["named", "lost", "fresh"].map(|it| Digest::of(it.as_bytes()));
        for name in ["named", "lost", "fresh"] {
            code.keep(Digest::of(name.as_bytes()), Bytes::from_static(name.as_bytes())).await;
        }
        for old in [named, lost] {
            let file = File::options().write(true).open(code.file(old)).unwrap();
            file.set_modified(SystemTime::now() - UNNAMED_FOR * 2).unwrap();
        }
        code.sweep(&[named].into()).unwrap();
        assert_eq!([named, lost, fresh].map(|it| code.has(it)), [true, false, true]);
    }
}
