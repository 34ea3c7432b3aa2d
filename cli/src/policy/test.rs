//! `bulkhead policy test`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder of scenarios.
    #[arg(value_name = "DIR", default_value = "tests/scenarios")]
    folder: PathBuf,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    bail!("not built yet: {arguments:?}")
}
