//! The SDK's own examples, unchanged, where its sources are on this machine: in the folder that
//! `PROXY_WASM_SDK` names (a checkout of <https://github.com/proxy-wasm/proxy-wasm-rust-sdk>), or in
//! cargo's folder of sources, should the package bring them. They are not ours, and do not ship.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use wasm_host::Module;

use crate::build::{cargo, compile, run};
use crate::checks::{CHECKS, get, passed, start};

const CHECKOUT: &str = "PROXY_WASM_SDK";

#[test]
fn the_sdks_own_examples_do_the_same() {
    let Some((sdk, offline)) = sdk() else {
        return tell(&format!(
            "skipped: no sources of the SDK's examples; set {CHECKOUT} to a checkout of it to run them"
        ));
    };
    // Built in a copy, so that nothing is written among the sources.
    let copy = tempfile::tempdir().unwrap();
    copy_tree(&sdk, copy.path());
    let metadata: (&str, fn(&Module)) = ("envoy_filter_metadata", envoy_filter_metadata);
    for (name, check) in CHECKS.into_iter().chain([metadata]) {
        let manifest = copy.path().join("examples").join(name).join("Cargo.toml");
        if !manifest.is_file() {
            tell(&format!("skipped: {name} is not among the examples of {}", sdk.display()));
            continue;
        }
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sdk-examples");
        let mut command = cargo(&manifest, &target);
        if offline {
            command.arg("--offline");
        }
        if let Err(said) = run(&mut command) {
            assert!(offline, "{name} could not be built:\n{said}");
            tell(&format!("skipped: {name} cannot be built without the network:\n{said}"));
            continue;
        }
        let file = format!("proxy_wasm_example_{name}.wasm");
        check(&compile(&target.join("wasm32-wasip1/release").join(file)));
        tell(&format!("{name} of {}: as expected", sdk.display()));
    }
}

/// Answers with what another filter has left in the metadata of the request.
fn envoy_filter_metadata(module: &Module) {
    let vm = start(module);
    drop(passed(&vm, get("/")));
    let path =
        ["metadata", "filter_metadata", "envoy.filters.http.lua", "uppercased-custom-metadata"];
    let mut stream = vm.request(get("/")).property(&path, "SHOUTED");
    let answer = stream.request_headers(true).local_response().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers.get_str("uppercased-metadata"), Some("SHOUTED"));
}

/// Past the capture of a passing test's output: what was skipped is to be seen.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "the SDK's own examples: {line}");
}

/// Where they are, and whether nothing may be fetched for them.
fn sdk() -> Option<(PathBuf, bool)> {
    if let Some(folder) = std::env::var_os(CHECKOUT) {
        return Some((PathBuf::from(folder), false));
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cargo"))
    })?;
    let registries = std::fs::read_dir(home.join("registry/src")).ok()?;
    let packages = registries.flatten().flat_map(|registry| std::fs::read_dir(registry.path()));
    let found = packages.flatten().flatten().map(|package| package.path()).find(|package| {
        let name = package.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("proxy-wasm-0.2.") && package.join("examples").is_dir()
    });
    found.map(|package| (package, true))
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && name != ".git" {
                copy_tree(&path, &to.join(name));
            }
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
