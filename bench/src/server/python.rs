//! Virtual environments of the project, below the folder that git ignores.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use devstack::environment;

/// A virtual environment.
#[derive(Debug, Clone)]
pub(super) struct Python {
    pub(super) folder: PathBuf,
}

impl Python {
    /// The environment `name` with what `requirements` lists, made where it is missing, and with
    /// `alone` without what that would need.
    pub(super) fn provide(name: &str, requirements: &Path, alone: Option<&str>) -> Result<Self> {
        let folder = environment::repository().join(".bulkhead/venv").join(name);
        let python = Self { folder };
        if !python.program().exists() {
            let folder = python.folder.as_os_str();
            run(Command::new("python3").args([OsStr::new("-m"), OsStr::new("venv"), folder]))?;
        }
        let mut install = python.pip();
        run(install.arg("--requirement").arg(requirements))?;
        if let Some(package) = alone {
            run(python.pip().args(["--no-deps", package]))?;
        }
        Ok(python)
    }

    /// Its interpreter.
    pub(super) fn program(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// What `expression` is, in text.
    pub(super) fn evaluate(&self, import: &str, expression: &str) -> Result<String> {
        let script = format!("import {import}; print({expression})");
        let output = Command::new(self.program()).args(["-c", &script]).output()?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn pip(&self) -> Command {
        let mut pip = Command::new(self.program());
        pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]);
        pip
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("could not start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {said}");
    Ok(())
}
