//! `bulkhead model verify`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use artifact::SectionKind;
use clap::Args;
use inference::{Backend, cpu::CpuBackend};
use tenancy::Digest;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The packages.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The digest that the one package must have, as the registry names it.
    #[arg(long)]
    digest: Option<Digest>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for file in &arguments.files {
        let package = super::open(file)?;
        let named = || format!("{}", file.display());
        package.verify().with_context(named)?;
        let found = *package.file().digest();
        if let Some(expected) = arguments.digest
            && expected != found
        {
            bail!("{}: expected digest {expected}, found {found}", file.display());
        }
        if let Some(source) = package.section(SectionKind::Source) {
            let (expected, found) =
                (Digest::from_bytes(package.header().source), Digest::of(source));
            if expected != found {
                bail!("{}: expected source {expected}, found {found}", file.display());
            }
        }
        CpuBackend::default().load(package.file()).with_context(named)?;
        println!("{}: {found}, every digest holds, and it loads", file.display());
    }
    Ok(())
}
