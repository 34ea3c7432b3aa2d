//! What the store promises: the bytes that a digest names, or nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Barrier,
    thread,
};

use artifact::{ArtifactError, Store};
use proptest::prelude::*;
use tempfile::TempDir;
use tenancy::Digest;

const LIMIT: u64 = 1 << 20;

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn path_of(folder: &TempDir, digest: &Digest) -> PathBuf {
    folder.path().join("sha256").join(digest.hex())
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_artifact_comes_back_byte_for_byte() {
    let (_folder, store) = store();
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = Digest::of(&bytes);

    assert!(!store.contains(&digest));
    assert_eq!(store.insert(bytes.as_slice(), &digest, LIMIT).unwrap(), 200_000);
    assert!(store.contains(&digest));
    let mapped = store.map(&digest).unwrap();
    assert_eq!(&*mapped, bytes.as_slice());
    assert_eq!(mapped.digest(), &digest);
}

#[test]
fn bytes_with_another_digest_are_refused_and_leave_nothing() {
    let (folder, store) = store();
    let promised = Digest::of(b"the model that was registered");

    let refused = store.insert(&b"another model"[..], &promised, LIMIT).unwrap_err();

    let found = Digest::of(b"another model");
    assert!(refused.to_string().contains(&promised.to_string()), "{refused}");
    assert!(refused.to_string().contains(&found.to_string()), "{refused}");
    assert!(matches!(
        refused,
        ArtifactError::DigestMismatch { expected, found: is } if expected == promised && is == found
    ));
    assert_eq!(files_below(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_refused_insert_leaves_the_artifact_that_was_there() {
    let (_folder, store) = store();
    let digest = Digest::of(b"model");
    store.insert(&b"model"[..], &digest, LIMIT).unwrap();
    store.insert(&b"not it"[..], &digest, LIMIT).unwrap_err();
    assert_eq!(&*store.map(&digest).unwrap(), b"model");
}

#[test]
fn more_bytes_than_the_limit_are_refused_and_leave_nothing() {
    let (folder, store) = store();
    let endless = io::repeat(7);
    let digest = Digest::of(b"whatever");
    let refused = store.insert(endless, &digest, LIMIT).unwrap_err();
    assert!(matches!(refused, ArtifactError::TooLarge { limit: LIMIT, .. }), "{refused}");
    assert_eq!(files_below(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn an_artifact_of_exactly_the_limit_is_accepted() {
    let (_folder, store) = store();
    let digest = Digest::of(b"12345678");
    assert_eq!(store.insert(&b"12345678"[..], &digest, 8).unwrap(), 8);
}

#[test]
fn no_bytes_are_no_artifact() {
    let (folder, store) = store();
    let digest = Digest::of(b"");
    let refused = store.insert(io::empty(), &digest, LIMIT).unwrap_err();
    assert!(matches!(refused, ArtifactError::Empty { .. }), "{refused}");
    assert_eq!(files_below(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_source_that_breaks_off_leaves_nothing() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, "peer went away"))
        }
    }
    let (folder, store) = store();
    let digest = Digest::of(b"begun and the rest");
    let refused = store.insert(b"begun".chain(Broken), &digest, LIMIT).unwrap_err();
    assert!(matches!(refused, ArtifactError::Source { .. }), "{refused}");
    assert_eq!(files_below(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let (folder, store) = store();
    let mut writer = store.writer(&Digest::of(b"ab"), LIMIT).unwrap();
    writer.write(b"a").unwrap();
    drop(writer);
    assert_eq!(files_below(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn an_artifact_altered_on_disk_is_refused_and_says_both_digests() {
    let (folder, store) = store();
    let digest = Digest::of(b"weights");
    store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
    alter(&path_of(&folder, &digest), |bytes| bytes[0] ^= 1);

    let refused = store.map(&digest).unwrap_err();

    assert!(
        matches!(
            refused,
            ArtifactError::DigestMismatch { expected, found }
                if expected == digest && found == Digest::of(b"veights")
        ),
        "{refused}"
    );
}

#[test]
fn a_truncated_artifact_is_refused_until_it_is_inserted_again() {
    let (folder, store) = store();
    let digest = Digest::of(b"weights");
    store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
    let path = path_of(&folder, &digest);

    alter(&path, |bytes| bytes.truncate(3));
    assert!(matches!(store.map(&digest), Err(ArtifactError::DigestMismatch { .. })));
    alter(&path, Vec::clear);
    assert!(matches!(store.map(&digest), Err(ArtifactError::Empty { .. })));

    store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
    assert_eq!(&*store.map(&digest).unwrap(), b"weights");
}

#[test]
fn an_artifact_that_was_never_stored_is_missing() {
    let (_folder, store) = store();
    let digest = Digest::of(b"never seen");
    assert!(matches!(store.map(&digest), Err(ArtifactError::Missing { digest: d }) if d == digest));
}

#[test]
fn files_are_read_only_and_their_folders_private() {
    let (folder, store) = store();
    let digest = Digest::of(b"weights");
    store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path_of(&folder, &digest)), 0o400);
    assert_eq!(mode(&folder.path().join("sha256")), 0o700);
    assert_eq!(mode(&folder.path().join("incoming")), 0o700);
}

#[test]
fn a_mapping_outlives_replacement_and_removal() {
    let (_folder, store) = store();
    let digest = Digest::of(b"weights");
    store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
    let mapped = store.map(&digest).unwrap();
    store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
    assert!(store.remove(&digest).unwrap());
    assert!(!store.remove(&digest).unwrap());
    assert_eq!(&*mapped, b"weights");
}

#[test]
fn only_unreferenced_artifacts_and_abandoned_files_are_removed() {
    let (folder, store) = store();
    let [kept, dropped] = [&b"kept"[..], b"dropped"].map(|bytes| {
        let digest = Digest::of(bytes);
        store.insert(bytes, &digest, LIMIT).unwrap();
        digest
    });
    fs::write(folder.path().join("incoming/left-by-a-crash"), b"half").unwrap();
    fs::write(folder.path().join("sha256/README"), b"not ours").unwrap();
    let mut being_written = store.writer(&Digest::of(b"next"), LIMIT).unwrap();
    being_written.write(b"ne").unwrap();

    let removed = store.remove_unreferenced(|digest| *digest == kept).unwrap();

    assert_eq!((removed.artifacts, removed.bytes, removed.abandoned), (1, 7, 1));
    assert!(store.contains(&kept) && !store.contains(&dropped));
    assert!(folder.path().join("sha256/README").is_file());
    being_written.write(b"xt").unwrap();
    being_written.finish().unwrap();
    assert_eq!(&*store.map(&Digest::of(b"next")).unwrap(), b"next");
}

#[test]
fn a_sweep_takes_no_file_from_who_begins_to_write_it() {
    // A sweep has to come between two instructions: without what keeps it out, some of these do.
    const TIMES: usize = 20_000;
    const SWEEPS: usize = 3;
    let (folder, store) = store();
    let incoming = folder.path().join("incoming");
    let all_begin = Barrier::new(1 + SWEEPS);
    let mut lost = 0;
    thread::scope(|scope| {
        for _ in 0..SWEEPS {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    all_begin.wait();
                    store.remove_unreferenced(|_| true).unwrap();
                }
            });
        }
        for _ in 0..TIMES {
            all_begin.wait();
            let being_written = store.writer(&Digest::of(b"weights"), LIMIT).unwrap();
            lost += usize::from(files_below(&incoming).is_empty());
            drop(being_written);
        }
    });
    assert_eq!(lost, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_artifact_is_stored_exactly_where_its_bytes_are_the_promised_ones(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..8),
        flip in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (_folder, store) = store();
        let bytes = chunks.concat();
        prop_assume!(!bytes.is_empty());
        let mut promised = *Digest::of(&bytes).as_bytes();
        if let Some(at) = flip {
            promised[at.index(32)] ^= 1;
        }
        let promised = Digest::from_bytes(promised);

        let mut writer = store.writer(&promised, LIMIT).unwrap();
        for chunk in &chunks {
            writer.write(chunk).unwrap();
        }
        prop_assert_eq!(writer.finish().is_ok(), flip.is_none());
        prop_assert_eq!(store.contains(&promised), flip.is_none());
    }
}

#[test]
fn a_change_is_found_though_length_and_time_of_modification_stay() {
    let (folder, store) = store();
    let digest = Digest::of(b"weights");
    store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
    let path = path_of(&folder, &digest);
    let accessed = |times: fs::FileTimes| {
        let file = fs::File::options().read(true).open(&path).unwrap();
        file.set_times(times)
    };
    for _ in 0..3 {
        assert_eq!(&*store.map(&digest).unwrap(), b"weights");
    }
    // Same length, times of modification put back: the time of change of the inode still shows it.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    alter(&path, |bytes| bytes[0] ^= 1);
    accessed(fs::FileTimes::new().set_modified(modified)).unwrap();
    assert!(matches!(store.map(&digest), Err(ArtifactError::DigestMismatch { .. })));
    assert!(matches!(store.verify(&digest), Err(ArtifactError::DigestMismatch { .. })));
    // Put right again, it is believed only after it was read.
    alter(&path, |bytes| bytes[0] ^= 1);
    assert_eq!(&*store.map(&digest).unwrap(), b"weights");
    store.verify(&digest).unwrap();
}

#[test]
fn a_file_that_was_swapped_for_another_is_refused() {
    let (folder, store) = store();
    let digest = Digest::of(b"weights");
    store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
    store.map(&digest).unwrap();
    let other = folder.path().join("other");
    fs::write(&other, b"veights").unwrap();
    fs::rename(&other, path_of(&folder, &digest)).unwrap();
    assert!(matches!(store.map(&digest), Err(ArtifactError::DigestMismatch { .. })));
}

#[test]
fn a_link_in_place_of_a_file_is_not_followed() {
    let (folder, store) = store();
    let digest = Digest::of(b"weights");
    store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(path_of(&folder, &digest), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, path_of(&folder, &digest)).unwrap();
    assert!(matches!(store.map(&digest), Err(ArtifactError::Io { action: "open", .. })));
}

#[test]
fn a_file_that_anybody_changed_is_read_again_and_never_served_by_a_promise_of_before() {
    let changes: [fn(&Path); 4] = [
        |path| alter(path, |bytes| bytes[3] ^= 1),
        |path| alter(path, |bytes| bytes.push(0)),
        |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            std::os::unix::fs::FileExt::write_at(&file, b"W", 0).unwrap();
        },
        |path| {
            fs::write(path.with_extension("new"), b"vveights").unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        },
    ];
    for change in changes {
        let (folder, store) = store();
        let digest = Digest::of(b"weights");
        store.insert(&b"weights"[..], &digest, LIMIT).unwrap();
        store.map(&digest).unwrap();
        change(&path_of(&folder, &digest));
        assert!(matches!(store.map(&digest), Err(ArtifactError::DigestMismatch { .. })));
        // What was found wrong once is not believed the second time.
        assert!(matches!(store.map(&digest), Err(ArtifactError::DigestMismatch { .. })));
    }
}
