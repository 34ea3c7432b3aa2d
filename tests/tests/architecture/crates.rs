//! What holds in every crate.

use std::path::Path;

use crate::workspace::{self, PACKAGES, files, root};

/// Where `unsafe_code` may be allowed, and what for.
const MAY_ALLOW_UNSAFE_CODE: &[(&str, &str)] = &[
    ("sidecar/artifact/src/mapped.rs", "a file is mapped, and its pages are given up"),
    (
        "sidecar/kernels/src/run.rs",
        "calls of kernels, and of what is compiled for one kind of processor",
    ),
    (
        "sidecar/gpu/src/device/trusted.rs",
        "two blocks: a driver's own pipeline cache, and features that wgpu calls experimental",
    ),
    ("sidecar/scheduler/src/processor.rs", "two blocks: a thread's policy, and its clock"),
    ("sidecar/scheduler/src/reclaim.rs", "one block: freed memory is given back"),
    ("filters/gate/src/lib.rs", "no block: the unsafe attribute on the entry that Envoy looks up"),
    ("filters/recheck/src/lib.rs", "as the gate's"),
    ("filters/shell/src/exports.rs", "as the gate's, for what Envoy calls later"),
    ("filters/shell/src/calls.rs", "calls of the host, which takes and hands over memory"),
    ("devstack/src/process/keeper.rs", "one block: what a process asks of the kernel after fork"),
];

/// The files that may hold a block, function or impl that is unsafe.
const MAY_HOLD_UNSAFE: &[&str] = &[
    "devstack/src/process/keeper.rs",
    "filters/shell/src/calls.rs",
    "sidecar/artifact/src/mapped.rs",
    "sidecar/gpu/src/device/trusted.rs",
    "sidecar/kernels/src/run.rs",
    "sidecar/scheduler/src/processor.rs",
    "sidecar/scheduler/src/reclaim.rs",
];

#[test]
fn every_crate_opens_by_saying_what_it_is_for() {
    let mut faults = Vec::new();
    for package in PACKAGES.iter() {
        for target in package.targets.iter().filter(|it| is_a_crate_of_ours(&it.kind)) {
            if !workspace::text(&target.src_path).starts_with("//! ") {
                faults.push(target.src_path.display().to_string());
            }
        }
    }
    assert!(faults.is_empty(), "expected each to open with //!, found otherwise: {faults:?}");
}

fn is_a_crate_of_ours(kinds: &[String]) -> bool {
    kinds.iter().any(|kind| ["lib", "cdylib", "bin", "test"].contains(&kind.as_str()))
}

#[test]
fn every_crate_has_the_workspaces_lints() {
    for package in PACKAGES.iter() {
        let manifest = workspace::text(&package.manifest_path);
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package.place());
    }
    let workspace = workspace::text(&root().join("Cargo.toml"));
    assert!(workspace.contains("\nunsafe_code = \"deny\"\n"), "unsafe code is not denied");
}

#[test]
fn a_folders_name_is_its_crates_name() {
    for package in PACKAGES.iter() {
        let folder = package.folder().file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(folder, package.name);
    }
}

#[test]
fn unsafe_code_is_where_it_is_said_to_be_and_nowhere_else() {
    let (mut allows, mut holds) = (Vec::new(), Vec::new());
    for package in PACKAGES.iter() {
        for file in files(package.folder(), "rs") {
            let place = file.strip_prefix(root()).unwrap().display().to_string();
            let lines: Vec<String> = workspace::text(&file).lines().map(code_of).collect();
            if lines.iter().any(|line| allows_unsafe_code(line)) {
                allows.push(place.clone());
            }
            if lines.iter().any(|line| is_unsafe(line)) {
                holds.push(place);
            }
        }
    }
    allows.sort();
    let mut may: Vec<&str> = MAY_ALLOW_UNSAFE_CODE.iter().map(|(file, _)| *file).collect();
    may.sort_unstable();
    assert_eq!(allows, may);
    holds.sort();
    assert_eq!(holds, MAY_HOLD_UNSAFE);
}

/// A line without its comment.
fn code_of(line: &str) -> String {
    line.split("//").next().unwrap_or_default().trim().to_owned()
}

fn allows_unsafe_code(line: &str) -> bool {
    let attribute = line.strip_prefix("#![").or_else(|| line.strip_prefix("#["));
    let lint = attribute.and_then(|it| it.strip_prefix("allow(").or(it.strip_prefix("expect(")));
    lint.is_some_and(|lints| lints.contains("unsafe_code"))
}

/// Whether the keyword stands before what it makes unsafe.
fn is_unsafe(line: &str) -> bool {
    line.match_indices("unsafe").any(|(at, keyword)| {
        let before = line.get(..at).and_then(|it| it.chars().last());
        let starts_a_word = before.is_none_or(|it| it.is_whitespace() || "({=".contains(it));
        let after = line.get(at + keyword.len()..).unwrap_or_default().trim_start();
        starts_a_word
            && ["{", "fn ", "impl", "extern", "trait "].iter().any(|it| after.starts_with(it))
    })
}

#[test]
fn the_reader_of_this_test_sees_what_is_unsafe() {
    // Not spelled out, or this file would hold what it looks for.
    for line in
        ["UNSAFE {", "let x = UNSAFE { y };", "pub UNSAFE fn f()", "UNSAFE impl Send for X {}"]
    {
        assert!(is_unsafe(&line.replace("UNSAFE", "unsafe")), "{line}");
    }
    for line in
        ["#[unsafe(no_mangle)]", "unsafe_code = 1", "may hold `unsafe`, and", "an unsafe thing"]
    {
        assert!(!is_unsafe(line), "{line}");
    }
    assert!(allows_unsafe_code("#[allow(unsafe_code, reason = \"it must\")]"));
    assert!(!allows_unsafe_code(&code_of("// #[allow(unsafe_code)]")));
    assert!(MAY_HOLD_UNSAFE.iter().all(|file| Path::new(&root()).join(file).is_file()));
}
