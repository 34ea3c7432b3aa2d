//! `bulkhead model unpack`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use artifact::SectionKind;
use clap::Args;
use tenancy::Digest;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The package.
    file: PathBuf,
    /// Where the ONNX file goes.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let package = super::open(&arguments.file)?;
    let expected = Digest::from_bytes(package.header().source);
    let Some(source) = package.section(SectionKind::Source) else {
        bail!(
            "expected the ONNX file in {}, found a package that was made without it: it had \
             digest {expected}",
            arguments.file.display()
        );
    };
    let found = Digest::of(source);
    if expected != found {
        bail!("expected an ONNX file with digest {expected} in the package, found {found}");
    }
    std::fs::write(&arguments.output, source)
        .with_context(|| format!("could not write {}", arguments.output.display()))?;
    println!("{}: {found}", arguments.output.display());
    Ok(())
}
