//! `cargo xtask train`.

use anyhow::Result;

use crate::{
    build,
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
        python::install(&python, &requirements)?;
        Ok(python)
    })?;
    phase("training (several minutes)", || {
        run_command(
            program(&python).arg(format!("{EXAMPLE}/train/train.py")).args(["--out", EXAMPLE]),
        )
    })?;
    let bulkhead = phase("bulkhead", build::bulkhead)?;
    phase("tuning", || {
        let mut tune = program(&python);
        tune.arg(format!("{EXAMPLE}/train/tune.py")).args(["--dir", EXAMPLE]);
        run_command(tune.arg("--bulkhead").arg(&bulkhead))
    })?;
    phase("resources", || {
        run_command(
            program(&python).arg(format!("{EXAMPLE}/train/resources.py")).args(["--dir", EXAMPLE]),
        )
    })
}
