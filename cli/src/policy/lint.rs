//! `bulkhead policy lint`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file of resources, or a folder whose .yaml, .yml and .json files are read.
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    bail!("not built yet: {arguments:?}")
}
