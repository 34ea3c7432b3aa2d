//! `bulkhead model`: models as packages (`.bha`), the form in which a node maps them.

mod inspect;
mod pack;
mod unpack;
mod verify;

use std::path::Path;

use anyhow::{Context, Result};
use artifact::{Mapped, Package};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make packages of ONNX files, and say how each will run.
    Pack(pack::Arguments),
    /// Show what a package says of itself.
    Inspect(inspect::Arguments),
    /// Read packages whole and check every digest in them.
    Verify(verify::Arguments),
    /// Write the ONNX file that a package was made of.
    Unpack(unpack::Arguments),
}

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Pack(arguments) => pack::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Unpack(arguments) => unpack::run(&arguments),
    }
}

fn open(path: &Path) -> Result<Package> {
    let bytes =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let file = Mapped::copied(&bytes).context("could not get memory for the package")?;
    Package::open(file).with_context(|| format!("{}", path.display()))
}
