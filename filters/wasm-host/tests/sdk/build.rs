//! Building filters, once for each process of tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use wasm_host::{Engine, Module};

/// Where everything that is built here goes.
fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// An engine that remembers between runs of the tests.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::cached(target().join("guests-compiled")).unwrap())
}

/// A filter of `guests`.
pub fn guest(name: &str) -> Module {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/Cargo.toml");
        let folder = target().join("guests");
        let mut command = cargo(&manifest, &folder);
        command.args(["--examples", "--locked"]);
        run(&mut command).unwrap_or_else(|said| {
            panic!(
                "the guests could not be built; they need the target wasm32-wasip1 \
                 (`rustup target add wasm32-wasip1`) and the crates of {}:\n{said}",
                manifest.with_extension("lock").display(),
            )
        });
        folder.join("wasm32-wasip1/release/examples")
    });
    compile(&built.join(format!("{name}.wasm")))
}

/// `cargo build` of a package for wasm32-wasip1.
pub fn cargo(manifest: &Path, folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--release", "--target", "wasm32-wasip1", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(folder);
    command
}

/// Runs it; what it said, where it failed.
pub fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

pub fn compile(file: &Path) -> Module {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Module::compile(engine(), bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
