//! Every target over its corpus and over mutations of it: always the same ones, in seconds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use fuzz::{TARGETS, Target};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const MUTATIONS: u64 = 2_000;

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

/// Whether `bytes` are accepted; says how to see it again where the target panics.
fn run(name: &str, target: Target, bytes: &[u8], what: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(bytes))).unwrap_or_else(|_| {
        let file = std::env::temp_dir().join(format!("bulkhead-fuzz-{name}"));
        let kept = fs::write(&file, bytes).map(|()| file);
        panic!("{name} panics over {what}; the input is in {kept:?}")
    })
}

/// One to four changes of the kinds that fuzzers make.
fn mutated(random: &mut StdRng, from: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = from.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len().min(at + 16));
        match random.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.insert(at, random.random()),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => {
                let from = random.random_range(0..=other.len());
                let piece = &other[from..other.len().min(from + 32)];
                bytes.splice(at..end, piece.iter().copied());
            }
            5 => {
                let edge = [0, 1, 0x7f, 0x80, 0xff][random.random_range(0..5)];
                bytes[at..end].fill(edge);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
        }
    }
    bytes
}

#[test]
fn no_input_of_a_corpus_panics_and_each_has_good_and_bad_ones() {
    for (name, target) in TARGETS {
        let (good, bad): (Vec<_>, Vec<_>) = corpus(name)
            .into_iter()
            .partition(|(file, bytes)| run(name, target, bytes, &file.display().to_string()));
        println!("{name}: {} accepted, {} refused", good.len(), bad.len());
        assert!(!good.is_empty(), "{name} accepts nothing: it tests how bytes are refused only");
        assert!(!bad.is_empty(), "{name} refuses nothing");
    }
}

#[test]
fn no_mutation_of_a_corpus_panics() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        let mut accepted = 0;
        for seed in 0..MUTATIONS {
            let mut random = StdRng::seed_from_u64(seed);
            let (_, from) = &files[random.random_range(0..files.len())];
            let (_, other) = &files[random.random_range(0..files.len())];
            let bytes = mutated(&mut random, from, other);
            accepted += u64::from(run(name, target, &bytes, &format!("the mutation {seed}")));
        }
        println!("{name}: {accepted} of {MUTATIONS} mutations accepted");
    }
}

#[test]
fn a_good_input_is_still_a_good_one() {
    for (name, label, bytes) in fuzz::seeds() {
        let (_, target) = TARGETS.into_iter().find(|(it, _)| *it == name).unwrap();
        let good = name != "headers" || label == "good";
        assert_eq!(run(name, target, &bytes, &label), good, "{name}/{label}");
    }
}
