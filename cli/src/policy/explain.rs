//! `bulkhead policy explain`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The resources: a file, or a folder; can be given again.
    #[arg(short, long = "file", value_name = "FILE|DIR", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    /// The request, as a file.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    bail!("not built yet: {arguments:?}")
}
