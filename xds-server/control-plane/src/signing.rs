//! The passport signing key, kept in a file that only this user may read.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use passport::SigningKey;

/// The key in `path`, or a new one that is then there.
pub(crate) fn load_or_create(path: &Path) -> anyhow::Result<SigningKey> {
    let context = || format!("passport key {}", path.display());
    match OpenOptions::new().read(true).open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(SigningKey::BYTES as u64 + 1)
                .read_to_end(&mut bytes)
                .with_context(context)?;
            SigningKey::from_bytes(&bytes).with_context(|| {
                format!("{} is damaged; restore it, or remove it for a new key", path.display())
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = SigningKey::generate();
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .with_context(context)?;
            file.write_all(&key.to_bytes()).and_then(|()| file.sync_all()).with_context(context)?;
            tracing::info!(key = key.id(), "made a passport key");
            Ok(key)
        }
        Err(error) => Err(error).with_context(context),
    }
}
