//! A Python environment with onnx and onnxruntime, below the folder that git ignores.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// What is installed; `cargo xtask` reads it too.
const REQUIREMENTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../inference/tests/onnxruntime/requirements.txt");

/// Runs `script` with a new folder as its argument, and gives the folder. Where there is no Python
/// or no network, says so, and gives none.
pub fn run(script: &Path, name: &str) -> Option<Folder> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.bulkhead");
    let python = match environment(&home) {
        Ok(python) => python,
        Err(refusal) => {
            eprintln!("SKIPPED: no Python with {REQUIREMENTS}: {refusal}");
            return None;
        }
    };
    let folder = home.join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let folder = Folder(folder);
    let output = Command::new(python).arg(script).arg(&folder.0).output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Some(folder)
}

/// The Python of the environment, which is made where it is missing, by one process at a time.
fn environment(home: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(home).map_err(|error| error.to_string())?;
    let lock = File::create(home.join("onnx.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let folder = home.join("venv/onnx");
    let python = folder.join("bin/python");
    let check = "import onnx, onnxruntime, numpy";
    let works = || {
        let status = Command::new(&python).args(["-c", check]).output();
        status.is_ok_and(|output| output.status.success())
    };
    if works() {
        return Ok(python);
    }
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    succeed(Command::new(&python).args(["-m", "pip", "install", "-q", "-r", REQUIREMENTS]))?;
    if works() { Ok(python) } else { Err("it was installed and does not load".to_owned()) }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.lines().last().unwrap_or("").to_owned()) }
}

/// A folder that goes when nobody reads it any more.
pub struct Folder(PathBuf);

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
