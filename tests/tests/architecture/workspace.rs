//! The workspace as `cargo metadata` describes it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde::Deserialize;

/// One crate of the workspace.
#[derive(Debug, Deserialize)]
pub struct Package {
    pub name: String,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
    pub targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub name: String,
    /// `None` for a dependency of what is shipped, else `dev` or `build`.
    pub kind: Option<String>,
    /// Where it lies, for one of ours.
    pub path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub struct Target {
    pub kind: Vec<String>,
    pub src_path: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// Every crate of the workspace.
pub static PACKAGES: LazyLock<Vec<Package>> = LazyLock::new(|| {
    let said = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Metadata = serde_json::from_str(&said).unwrap();
    assert!(!metadata.packages.is_empty());
    metadata.packages
});

impl Package {
    pub fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap()
    }

    /// The folder from the repository's root.
    pub fn place(&self) -> String {
        self.folder().strip_prefix(root()).unwrap().display().to_string()
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    devstack::environment::repository()
}

/// What `cargo ARGUMENTS`, run in the root, prints.
pub fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    printed(Command::new(cargo).args(arguments))
}

/// What a program that must succeed prints.
pub fn printed(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?} failed: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every file below `folder` whose name ends in `.{extension}`, but for what cargo built.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The text of a file.
pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
