//! The file that pipelines are kept in between two starts.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tenancy::Digest;

/// Bytes of the digest in front.
const HEAD_BYTES: usize = 32;
/// A file that is larger is not read: no driver's cache of a few hundred small pipelines is.
const MOST_BYTES: u64 = 256 << 20;

/// A file in a folder that is given, which holds what a driver made of shaders, behind its SHA-256.
#[derive(Debug)]
pub(crate) struct PipelineFile {
    path: PathBuf,
}

impl PipelineFile {
    /// The file for adapters of `key`.
    pub(crate) fn new(folder: &Path, key: &str) -> Self {
        Self { path: folder.join(format!("{key}.pipelines")) }
    }

    /// What was written last; none where nothing was, or where it is not what was written.
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        let length = fs::metadata(&self.path).ok()?.len();
        let bytes = (length <= MOST_BYTES).then(|| fs::read(&self.path).ok()).flatten()?;
        let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
        if Digest::of(body).as_bytes() != head {
            tracing::warn!(
                path = %self.path.display(),
                "the file of pipelines is not as it was written: they are made anew"
            );
            return None;
        }
        Some(body.to_vec())
    }

    /// Replaces the file as a whole.
    pub(crate) fn write(&self, body: &[u8]) -> io::Result<()> {
        let fresh = self.path.with_extension(format!("{}.new", std::process::id()));
        let mut file =
            fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(Digest::of(body).as_bytes())?;
        file.write_all(body)?;
        fs::rename(&fresh, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = PipelineFile::new(folder.path(), "key");
        assert_eq!(file.read(), None);
        file.write(b"pipelines").unwrap();
        assert_eq!(file.read().as_deref(), Some(&b"pipelines"[..]));
        let mut bytes = fs::read(&file.path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file.path, &bytes).unwrap();
        assert_eq!(file.read(), None);
        fs::write(&file.path, &bytes[..10]).unwrap();
        assert_eq!(file.read(), None);
    }
}
