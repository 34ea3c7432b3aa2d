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
    /// The base of packages that have one, to see that they load over it.
    #[arg(long, value_name = "PACKAGE")]
    base: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let backend = CpuBackend::default();
    let base = match &arguments.base {
        Some(file) => {
            let package = super::open(file)?;
            package.verify().with_context(|| format!("{}", file.display()))?;
            Some(backend.load(package.file()).with_context(|| format!("{}", file.display()))?)
        }
        None => None,
    };
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
        let loads = match (&base, package.header().base.as_ref()) {
            (Some(base), Some(_)) => {
                backend.load_over(package.file(), base).with_context(named)?;
                "it loads over its base"
            }
            (None, Some(_)) => "whether it loads is seen with its base (--base)",
            (_, None) => {
                backend.load(package.file()).with_context(named)?;
                "it loads"
            }
        };
        println!("{}: {found}, every digest holds, and {loads}", file.display());
    }
    Ok(())
}
