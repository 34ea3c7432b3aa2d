//! What is made of an artifact: once, and never used where it is not as it was made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use artifact::{ArtifactError, Derived, Mapped, Origin, PAGE_BYTES, Store};
use proptest::prelude::*;
use tempfile::TempDir;
use tenancy::Digest;

const KEY: &str = "panels-8";
const CONTENT: &[u8] = b"what was made of it";

struct Node {
    folder: TempDir,
    store: Store,
    artifact: Digest,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let artifact = Digest::of(b"artifact");
        store.insert(&b"artifact"[..], &artifact, 100).unwrap();
        Self { folder, store, artifact }
    }

    fn get(&self) -> (Mapped, Origin) {
        get(self.store.derived(), &self.artifact, CONTENT)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("derived").join(format!("{}.{KEY}", self.artifact.hex()))
    }
}

fn get(derived: &Derived, of: &Digest, content: &[u8]) -> (Mapped, Origin) {
    let made = derived
        .get_or_make(of, KEY, |file| content.chunks(3).try_for_each(|chunk| file.write(chunk)));
    made.unwrap_or_else(|error: ArtifactError| panic!("{error}"))
}

fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What tells one file from another that took its name.
fn identity(path: &Path) -> (u64, i64, i64) {
    let it = fs::metadata(path).unwrap();
    (it.ino(), it.mtime(), it.mtime_nsec())
}

#[test]
fn it_is_made_once_and_mapped_from_then_on_by_every_process() {
    let node = Node::new();
    let (made, origin) = node.get();
    assert!(matches!(origin, Origin::Made), "{origin:?}");
    let file = identity(&node.file());
    // The second store stands for another process, which knows nothing of the file yet.
    for store in [&node.store, &Store::open(node.folder.path()).unwrap()] {
        for _ in 0..2 {
            let found = store.derived().get_or_make(
                &node.artifact,
                KEY,
                |_| -> Result<(), ArtifactError> { panic!("it is there") },
            );
            let (kept, origin) = found.unwrap();
            assert!(matches!(origin, Origin::Kept), "{origin:?}");
            assert_eq!((&*kept, kept.digest()), (CONTENT, &Digest::of(CONTENT)));
        }
    }
    assert_eq!(&*made, CONTENT);
    assert_eq!(identity(&node.file()), file);
    assert_eq!(made.mapped_bytes(), (PAGE_BYTES + CONTENT.len()) as u64);
    assert!((made.as_ptr().addr()).is_multiple_of(PAGE_BYTES));
}

#[test]
fn it_is_read_only_in_a_private_folder() {
    let node = Node::new();
    node.get();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&node.file()), 0o400);
    assert_eq!(mode(node.file().parent().unwrap()), 0o700);
}

#[test]
fn what_is_not_as_it_was_made_is_made_anew_and_never_used() {
    let damages: [fn(&Node); 8] = [
        |node| alter(&node.file(), |bytes| bytes[PAGE_BYTES + 3] ^= 1),
        |node| alter(&node.file(), |bytes| bytes[20] ^= 1),
        |node| alter(&node.file(), |bytes| bytes[PAGE_BYTES - 1] = 1),
        |node| alter(&node.file(), |bytes| bytes.truncate(PAGE_BYTES + 5)),
        |node| alter(&node.file(), |bytes| bytes.truncate(100)),
        |node| alter(&node.file(), Vec::clear),
        |node| alter(&node.file(), |bytes| bytes.push(0)),
        // What was made of another artifact, whole and under this one's name.
        |node| {
            let other = Digest::of(b"another artifact");
            get(node.store.derived(), &other, b"what was made of another");
            let theirs = node.file().with_file_name(format!("{}.{KEY}", other.hex()));
            fs::rename(theirs, node.file()).unwrap();
        },
    ];
    for (at, damage) in damages.into_iter().enumerate() {
        for pinned in [true, false] {
            let node = Node::new();
            node.get();
            damage(&node);
            let unaware = Store::open(node.folder.path()).unwrap();
            let store = if pinned { &node.store } else { &unaware };
            let (found, origin) = get(store.derived(), &node.artifact, CONTENT);
            assert!(matches!(origin, Origin::MadeAnew(_)), "damage {at}: {origin:?}");
            assert_eq!(&*found, CONTENT, "damage {at}");
            let (_, origin) = get(unaware.derived(), &node.artifact, b"not asked for");
            assert!(matches!(origin, Origin::Kept), "damage {at}: {origin:?}");
        }
    }
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    let node = Node::new();
    node.get();
    let elsewhere = node.folder.path().join("elsewhere");
    fs::rename(node.file(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, node.file()).unwrap();
    let (found, origin) = node.get();
    assert!(matches!(origin, Origin::MadeAnew(_)), "{origin:?}");
    assert_eq!(&*found, CONTENT);
    assert!(fs::symlink_metadata(node.file()).unwrap().is_file());
}

#[test]
fn what_fails_to_be_made_leaves_nothing_and_is_tried_again() {
    #[derive(Debug)]
    struct Failed;
    impl From<ArtifactError> for Failed {
        fn from(error: ArtifactError) -> Self {
            panic!("{error}")
        }
    }
    let node = Node::new();
    let failed = node.store.derived().get_or_make(&node.artifact, KEY, |file| {
        file.write(b"half")?;
        Err(Failed)
    });
    assert!(matches!(failed, Err(Failed)));
    for folder in ["derived", "incoming"] {
        assert_eq!(fs::read_dir(node.folder.path().join(folder)).unwrap().count(), 0, "{folder}");
    }
    assert_eq!(&*node.get().0, CONTENT);
}

#[test]
fn who_wants_it_while_it_is_made_waits_for_it() {
    let node = Node::new();
    let (made, together) = (AtomicUsize::new(0), Barrier::new(8));
    thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                together.wait();
                let got = node.store.derived().get_or_make(&node.artifact, KEY, |file| {
                    made.fetch_add(1, Ordering::Relaxed);
                    file.write(CONTENT)
                });
                assert_eq!(&*got.unwrap().0, CONTENT);
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
}

#[test]
fn it_goes_with_its_artifact_and_mappings_of_it_stay_whole() {
    let node = Node::new();
    let (kept, removed) = (Digest::of(b"kept"), node.artifact);
    store_and_make(&node, &kept);
    let (mapped, _) = node.get();
    let bytes = fs::metadata(node.file()).unwrap().len() + b"artifact".len() as u64;

    let swept = node.store.remove_unreferenced(|digest| *digest == kept).unwrap();
    assert_eq!((swept.artifacts, swept.derived, swept.bytes), (1, 1, bytes));
    assert!(!node.file().exists());
    assert_eq!(&*mapped, CONTENT);
    let (_, origin) = get(node.store.derived(), &kept, b"not asked for");
    assert!(matches!(origin, Origin::Kept), "{origin:?}");

    // What was made of one that is no longer there goes too, and nobody else's file.
    get(node.store.derived(), &removed, CONTENT);
    let foreign = node.file().with_file_name("README");
    fs::write(&foreign, "not ours").unwrap();
    let swept = node.store.remove_unreferenced(|digest| *digest == kept).unwrap();
    assert_eq!((swept.artifacts, swept.derived), (0, 1));
    assert!(foreign.is_file());

    node.store.remove(&kept).unwrap();
    assert_eq!(fs::read_dir(foreign.parent().unwrap()).unwrap().count(), 1);
}

fn store_and_make(node: &Node, digest: &Digest) {
    node.store.insert(&b"kept"[..], digest, 100).unwrap();
    get(node.store.derived(), digest, CONTENT);
}

#[test]
fn a_key_is_a_name_and_leads_out_of_no_folder() {
    let node = Node::new();
    for key in ["", ".", "..", "a/b", "a.b", "ü", &"k".repeat(65)] {
        let refused = node
            .store
            .derived()
            .get_or_make(&node.artifact, key, |file| file.write(CONTENT))
            .unwrap_err();
        assert!(matches!(refused, ArtifactError::Key { .. }), "{key:?}: {refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_to_its_file_it_is_what_was_made(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let node = Node::new();
        node.get();
        alter(&node.file(), |bytes| {
            for (at, byte) in &changes {
                let length = bytes.len();
                bytes[at.index(length)] = *byte;
            }
            if let Some(at) = cut {
                bytes.truncate(at.index(bytes.len()));
            }
        });
        let store = Store::open(node.folder.path()).unwrap();
        let (found, _) = get(store.derived(), &node.artifact, CONTENT);
        prop_assert_eq!(&*found, CONTENT);
    }
}
