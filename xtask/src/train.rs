//! `cargo xtask train`.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    command::{program, run as run_command},
    phase::phase,
    python, workspace,
};

const EXAMPLE: &str = "examples/flights";

/// Trains the example's models again, in a virtual environment of the project.
pub(crate) fn run(_arguments: &[String]) -> Result<()> {
    let requirements = workspace::root().join(EXAMPLE).join("train/requirements.txt");
    let python = phase("Python packages", || {
        let python = python::virtual_environment("train")?;
        install(&python, &requirements)?;
        Ok(python)
    })?;
    phase("training (several minutes)", || {
        run_command(
            program(&python).arg(format!("{EXAMPLE}/train/train.py")).args(["--out", EXAMPLE]),
        )
    })?;
    phase("resources", || {
        run_command(
            program(&python).arg(format!("{EXAMPLE}/train/resources.py")).args(["--dir", EXAMPLE]),
        )
    })
}

/// Installs the requirements, unless these very ones were installed before.
fn install(python: &Path, requirements: &Path) -> Result<()> {
    let wanted = fs::read(requirements)
        .with_context(|| format!("could not read {}", requirements.display()))?;
    let installed = python.with_file_name("requirements.installed");
    if fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    run_command(
        program(python)
            .args(["-m", "pip", "--disable-pip-version-check", "install", "--requirement"])
            .arg(requirements),
    )
    .context("it needs a network that reaches PyPI (or pip's index-url)")?;
    fs::write(&installed, wanted)
        .with_context(|| format!("could not write {}", installed.display()))
}
