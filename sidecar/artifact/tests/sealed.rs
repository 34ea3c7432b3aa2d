//! What a sealing store promises: what is mapped stays as it was checked, whatever becomes of the
//! file, and whoever tries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use artifact::{ArtifactError, Origin, Store};
use tempfile::TempDir;
use tenancy::Digest;

const LIMIT: u64 = 1 << 20;

fn sealing() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap().sealing();
    (folder, store)
}

fn stored(folder: &TempDir, store: &Store, bytes: &[u8]) -> (Digest, PathBuf) {
    let digest = Digest::of(bytes);
    store.insert(bytes, &digest, LIMIT).unwrap();
    let path = folder.path().join("sha256").join(digest.hex());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    (digest, path)
}

/// The mappings of sealed copies that this process has: their addresses, and their files' inodes.
fn copies() -> Vec<(String, String)> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let copies = maps.lines().filter(|line| line.contains("memfd:artifact")).map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[0].to_owned(), fields[4].to_owned())
    });
    copies.collect()
}

/// The mapping that holds these bytes.
fn copy_of(bytes: &[u8]) -> (String, String) {
    let at = bytes.as_ptr().addr();
    let is_it = |(range, _): &(String, String)| {
        let (from, to) = range.split_once('-').unwrap();
        let address = |text| usize::from_str_radix(text, 16).unwrap();
        (address(from)..address(to)).contains(&at)
    };
    copies().into_iter().find(is_it).expect("a sealed copy")
}

#[test]
fn what_is_mapped_outlives_every_change_of_its_file() {
    let (folder, store) = sealing();
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let (digest, path) = stored(&folder, &store, &bytes);
    let mapped = store.map(&digest).unwrap();
    let (_, inode) = copy_of(&mapped);

    // In place, by this very user; and then cut off, after which a page of a mapped file is gone.
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(&[0xff; 5000]).unwrap();
    assert_eq!(&*mapped, bytes.as_slice());
    file.set_len(1).unwrap();
    assert_eq!(&*mapped, bytes.as_slice());

    let refused = store.map(&digest).unwrap_err();
    assert!(matches!(refused, ArtifactError::DigestMismatch { .. }), "{refused}");
    drop(mapped);
    assert!(copies().iter().all(|(_, it)| *it != inode), "its memory is given back");
}

#[test]
fn nobody_can_write_to_a_copy() {
    let (folder, store) = sealing();
    let (digest, _) = stored(&folder, &store, &[7; 9000]);
    let mapped = store.map(&digest).unwrap();
    // By the one way that is left to the file: where it is mapped.
    let (range, _) = copy_of(&mapped);
    let link = format!("/proc/self/map_files/{range}");
    match OpenOptions::new().write(true).open(&link) {
        Ok(mut file) => {
            let written = file.write_all(&[0; 16]).unwrap_err();
            assert_eq!(written.kind(), ErrorKind::PermissionDenied, "{written}");
            assert!(file.set_len(0).is_err());
            assert!(file.set_len(1 << 20).is_err());
        }
        Err(refused) => eprintln!("{link} cannot be opened here at all: {refused}"),
    }
    assert!(mapped.iter().all(|byte| *byte == 7));
}

#[test]
fn what_a_node_made_is_sealed_too() {
    let (folder, store) = sealing();
    let (digest, _) = stored(&folder, &store, b"model");
    let derived = store.derived();
    let make = || derived.get_or_make::<ArtifactError>(&digest, "k", |it| it.write(&[3; 9000]));
    let (mapped, origin) = make().unwrap();
    assert!(matches!(origin, Origin::Made), "{origin:?}");
    let file = fs::read_dir(folder.path().join("derived")).unwrap().next().unwrap().unwrap().path();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    File::options().write(true).open(&file).unwrap().set_len(10).unwrap();
    assert_eq!(&*mapped, &[3; 9000]);
    let (again, origin) = make().unwrap();
    assert!(matches!(origin, Origin::MadeAnew(_)), "{origin:?}");
    assert_eq!(&*again, &[3; 9000]);
}

#[test]
fn an_empty_file_is_refused() {
    let (folder, store) = sealing();
    let (digest, path) = stored(&folder, &store, b"model");
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    let refused = store.map(&digest).unwrap_err();
    assert!(matches!(refused, ArtifactError::Empty { .. }), "{refused}");
}
