//! The operators in force: those of the file as it is now.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use subtle::{Choice, ConditionallySelectable as _};

use super::{Operator, TokenDigest, parse};

/// The largest file of operators, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A file may be written twice within one tick of its clock. Until so long after its last change,
/// equal times do not say that nothing changed.
const UNSURE_FOR: Duration = Duration::from_secs(2);

/// The operators of a file, read again when it changes.
pub struct Roster {
    path: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    operators: Vec<Operator>,
    /// What the file looked like when it was last read, or when reading it last failed.
    seen: Option<Stamp>,
    /// Why the file as it is now is not in force.
    refusal: Option<String>,
}

/// By what a changed file is told from an unchanged one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Roster {
    /// Reads the file.
    ///
    /// # Errors
    /// Where it cannot be read, others than its owner and group may write it, or it is refused.
    pub fn open(path: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let path = path.into();
        let (seen, operators) = read(&path)?;
        let inner = Inner { operators, seen, refusal: None };
        Ok(Self { path, inner: Mutex::new(inner) })
    }

    /// Whose token it is, by the file as it is now. Every operator is compared, in a time that does
    /// not say which one it was.
    pub fn identify(&self, token: &str) -> Option<Operator> {
        let presented = TokenDigest::of(token);
        let inner = self.current();
        let (mut at, mut found) = (0_u32, Choice::from(0));
        for (index, operator) in (0_u32..).zip(&inner.operators) {
            let same = operator.token_sha256.is(&presented);
            at.conditional_assign(&index, same);
            found |= same;
        }
        if !bool::from(found) {
            return None;
        }
        inner.operators.get(usize::try_from(at).ok()?).cloned()
    }

    /// Everybody, and why a newer file is not in force, where it is not.
    pub fn list(&self) -> (Vec<Operator>, Option<String>) {
        let inner = self.current();
        (inner.operators.clone(), inner.refusal.clone())
    }

    /// Reads the file again, whether or not it looks changed.
    pub fn reload(&self) {
        self.lock().read_again(&self.path);
    }

    fn current(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        let now = Stamp::of(&self.path);
        if now.is_none() || now != inner.seen {
            inner.read_again(&self.path);
        }
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A file that cannot be used leaves in force what was, for shutting everybody out because of
    /// a slip of the pen would also shut out who mends it.
    fn read_again(&mut self, path: &Path) {
        match read(path) {
            Ok((seen, operators)) => {
                if self.operators != operators || self.refusal.is_some() {
                    tracing::info!(operators = operators.len(), "the operators' file was read");
                }
                *self = Self { operators, seen, refusal: None };
            }
            Err(error) => {
                let refusal = format!("{error:#}");
                if self.refusal.as_ref() != Some(&refusal) {
                    tracing::error!(
                        error = refusal,
                        "the operators' file cannot be used; those before stay in force"
                    );
                }
                self.refusal = Some(refusal);
                self.seen = Stamp::of(path);
            }
        }
    }
}

impl Stamp {
    /// What the file looks like; nothing where that does not tell whether it changes.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        let age = SystemTime::now().duration_since(file.modified().ok()?);
        if age.is_ok_and(|age| age < UNSURE_FOR) {
            return None;
        }
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

fn read(path: &Path) -> anyhow::Result<(Option<Stamp>, Vec<Operator>)> {
    let context = || format!("operators' file {}", path.display());
    // Before the content: what changes in between is read again.
    let seen = Stamp::of(path);
    let file = fs::File::open(path).with_context(context)?;
    let metadata = file.metadata().with_context(context)?;
    anyhow::ensure!(
        metadata.mode() & 0o002 == 0,
        "{}: expected a file that not everybody may write, found mode {:o}; `chmod o-w` it",
        context(),
        metadata.mode() & 0o7777
    );
    anyhow::ensure!(
        metadata.len() <= MAX_FILE_BYTES,
        "{}: expected at most {MAX_FILE_BYTES} bytes, found {}",
        context(),
        metadata.len()
    );
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).with_context(context)?;
    Ok((seen, parse(&text).with_context(context)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::operators::Role;

    fn text(entries: &[(&str, &str, &str)]) -> String {
        let entries = entries.iter().map(|(name, role, token)| {
            let digest = TokenDigest::of(token);
            format!("- {{name: {name}, role: {role}, tokenSha256: {digest}}}\n")
        });
        format!("operators:\n{}", entries.collect::<String>())
    }

    #[test]
    fn the_file_decides_as_it_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operators.yaml");
        fs::write(&path, text(&[("ann", "viewer", "a"), ("ben", "admin", "b")])).unwrap();
        let roster = Roster::open(&path).unwrap();
        assert_eq!(
            roster.identify("b").map(|it| (it.name, it.role)),
            Some(("ben".into(), Role::Admin))
        );
        assert_eq!(roster.identify("c"), None);
        assert_eq!(roster.identify(""), None);

        fs::write(&path, text(&[("ann", "viewer", "c"), ("ben", "admin", "b")])).unwrap();
        assert_eq!(roster.identify("c").map(|it| it.name), Some("ann".to_owned()));
        assert_eq!(roster.identify("a"), None, "a token that was taken away opens nothing");
    }

    #[test]
    fn a_file_that_cannot_be_used_shuts_nobody_out_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operators.yaml");
        fs::write(&path, text(&[("ann", "viewer", "a")])).unwrap();
        let roster = Roster::open(&path).unwrap();
        fs::write(&path, "operators: [{name: ann}]").unwrap();
        assert!(roster.identify("a").is_some());
        let (_, refusal) = roster.list();
        assert!(refusal.unwrap().contains("role"));
        fs::remove_file(&path).unwrap();
        assert!(roster.identify("a").is_some());
        fs::write(&path, text(&[("ann", "viewer", "b")])).unwrap();
        assert!(roster.identify("a").is_none());
        assert_eq!(roster.list().1, None);
    }

    #[test]
    fn a_file_that_everybody_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operators.yaml");
        fs::write(&path, text(&[("ann", "viewer", "a")])).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let refusal = Roster::open(&path).err().unwrap().to_string();
        assert!(refusal.contains("chmod o-w"), "{refusal}");
    }
}
