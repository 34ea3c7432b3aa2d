//! The passport keys, kept in files that only this user may read.
//!
//! `passport.key` mints. Nodes and sidecars accept it and, where they are there, `passport.next.key`
//! and `passport.previous.key`, so that a key is replaced without a refused request: start with the
//! next one beside it, start again once it is the one that mints and the old one is the previous,
//! and remove that when its passports have expired.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::Context as _;
use passport::{SigningKey, VerifyingKey, seal::SealKey};

/// Accepted beside the key that mints.
const ALSO_ACCEPTED: [&str; 2] = ["passport.next.key", "passport.previous.key"];

/// The keys, and what seals the one that mints for the gateways.
pub(crate) struct PassportKeys {
    pub(crate) signing: SigningKey,
    pub(crate) accepted: Vec<VerifyingKey>,
    pub(crate) seal: SealKey,
}

impl PassportKeys {
    /// The keys in a folder; the one that mints is made where there is none.
    pub(crate) fn open(folder: &Path, seal: SealKey) -> anyhow::Result<Self> {
        let signing = load_or_create(&folder.join("passport.key"))?;
        let mut accepted = vec![signing.verifying_key()];
        for path in ALSO_ACCEPTED.map(|name| folder.join(name)) {
            match File::open(&path) {
                Ok(file) => accepted.push(read(file, &path)?.verifying_key()),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("passport key {}", path.display()));
                }
            }
        }
        Ok(Self { signing, accepted, seal })
    }
}

/// The key in `path`, or a new one that is then there. A crash while it is made leaves no key or the
/// whole key, never a part.
pub(crate) fn load_or_create(path: &Path) -> anyhow::Result<SigningKey> {
    let context = || format!("passport key {}", path.display());
    match File::open(path) {
        Ok(file) => read(file, path),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = SigningKey::generate();
            create(path, &key.to_bytes()).with_context(context)?;
            tracing::info!(key = key.id(), "made a passport key");
            Ok(key)
        }
        Err(error) => Err(error).with_context(context),
    }
}

fn read(file: File, path: &Path) -> anyhow::Result<SigningKey> {
    let context = || format!("passport key {}", path.display());
    let mode = file.metadata().with_context(context)?.permissions().mode() & 0o777;
    anyhow::ensure!(
        mode & 0o077 == 0,
        "{}: expected a file that only its owner may read, found mode {mode:o}; make a new key by \
         removing it, for whoever has read it can mint passports",
        context()
    );
    let mut bytes = Vec::new();
    file.take(SigningKey::BYTES as u64 + 1).read_to_end(&mut bytes).with_context(context)?;
    SigningKey::from_bytes(&bytes).with_context(|| {
        format!("{} is damaged; restore it, or remove it for a new key", path.display())
    })
}

/// Writes beside `path`, and gives the whole its name once it is on the disk.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let unfinished = path.with_extension("key.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The name is on the disk once its folder is.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_next_and_the_previous_key_are_accepted_beside_the_one_that_mints() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let seal = SealKey::from_hex(&"07".repeat(32)).unwrap();
            let keys = PassportKeys::open(folder.path(), seal).unwrap();
            let accepted: Vec<_> = keys.accepted.into_iter().map(|key| key.id).collect();
            (keys.signing.id().to_owned(), accepted)
        };
        let (first, accepted) = open();
        assert_eq!(accepted, std::slice::from_ref(&first));
        let next = load_or_create(&folder.path().join("passport.next.key")).unwrap();
        assert_eq!(open(), (first.clone(), vec![first.clone(), next.id().to_owned()]));
        let at = |name: &str| folder.path().join(name);
        fs::rename(at("passport.key"), at("passport.previous.key")).unwrap();
        fs::rename(at("passport.next.key"), at("passport.key")).unwrap();
        assert_eq!(open(), (next.id().to_owned(), vec![next.id().to_owned(), first]));
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passport.key");
        // What a crash in the middle of making one left behind.
        fs::write(path.with_extension("key.new"), "half").unwrap();
        let made = load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_create(&path).unwrap().to_bytes(), made.to_bytes());
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap()).collect();
        assert_eq!(names.len(), 1, "nothing is left over: {names:?}");
    }

    #[test]
    fn a_key_that_others_could_read_or_that_is_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passport.key");
        load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = load_or_create(&path).err().unwrap().to_string();
        assert!(refusal.contains("mode 640"), "{refusal}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        let refusal = load_or_create(&path).err().unwrap().to_string();
        assert!(refusal.contains("damaged"), "{refusal}");
    }
}
