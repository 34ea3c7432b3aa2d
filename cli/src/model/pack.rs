//! `bulkhead model pack`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use artifact::Identity;
use clap::{Args, ValueEnum};
use inference::{Deviation, Pack, pack, plan::WeightKind};
use tenancy::Digest;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The ONNX files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the package goes: a file, or a folder for several. Beside each file where it is not
    /// said.
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The model's name; the file's where it is not said.
    #[arg(long)]
    name: Option<String>,
    /// The model's version.
    #[arg(long, default_value = "1")]
    version: String,
    /// The tenant that it is for, where it is for one alone.
    #[arg(long)]
    tenant: Option<String>,
    /// The tenants whose data it was trained on, with commas between them.
    #[arg(long, value_delimiter = ',')]
    trained_on: Vec<String>,
    /// What weights become.
    #[arg(long, value_enum, default_value = "f32")]
    weights: Weights,
    /// For narrower weights, how far answers may be from those with f32, relative to the largest
    /// of them.
    #[arg(long, default_value = "0.01", value_name = "FRACTION")]
    largest_deviation: f64,
    /// The layouts in which weights are packed, with commas between them: how many columns a panel
    /// has that the kernels of a node's processor read. 16 is for x86-64 and 64-bit ARM.
    #[arg(long, value_delimiter = ',', default_value = "16")]
    lanes: Vec<usize>,
    /// Leave the ONNX file out where the package runs without it.
    #[arg(long)]
    without_source: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Weights {
    F32,
    F16,
    Int8,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let into_folder = arguments.output.as_ref().is_some_and(|it| it.is_dir());
    if arguments.files.len() > 1 && arguments.output.is_some() && !into_folder {
        bail!("expected a folder to write several packages to, found none: make it, or name one");
    }
    for file in &arguments.files {
        let output = match &arguments.output {
            Some(folder) if into_folder => {
                folder.join(file.file_name().unwrap_or_default()).with_extension("bha")
            }
            Some(output) => output.clone(),
            None => file.with_extension("bha"),
        };
        pack_one(arguments, file, &output)?;
    }
    Ok(())
}

fn pack_one(arguments: &Arguments, file: &Path, output: &Path) -> Result<()> {
    let onnx = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut trained_on = arguments.trained_on.clone();
    trained_on.sort();
    let options = Pack {
        identity: Identity {
            tenant: arguments.tenant.clone(),
            name: arguments.name.clone().unwrap_or_else(|| stem.into_owned()),
            version: arguments.version.clone(),
            trained_on,
        },
        weights: match arguments.weights {
            Weights::F32 => WeightKind::F32,
            Weights::F16 => WeightKind::F16,
            Weights::Int8 => WeightKind::I8,
        },
        largest_deviation: arguments.largest_deviation,
        with_source: !arguments.without_source,
        lanes: arguments.lanes.clone(),
    };
    let packed = pack(&onnx, &options).with_context(|| format!("{}", file.display()))?;
    std::fs::write(output, &packed.bytes)
        .with_context(|| format!("could not write {}", output.display()))?;
    println!("{}", output.display());
    println!("  digest  {}", Digest::of(&packed.bytes));
    println!("  bytes   {}", packed.bytes.len());
    println!("  runs    {}", packed.path);
    if let Some(Deviation { largest, mean, numbers }) = packed.deviation {
        println!(
            "  differs from f32 by {largest:.2e} at most and {mean:.2e} in the mean of {numbers} numbers"
        );
    }
    Ok(())
}
