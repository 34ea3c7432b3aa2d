//! `bulkhead model pack`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use artifact::{Identity, Package};
use clap::{Args, ValueEnum};
use inference::{Deviation, Pack, PackOver, changes::PairKind, pack, pack_over, plan::WeightKind};
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
    /// For narrower weights, how far answers may be from those with f32, and over a base from those
    /// of the whole model, relative to the largest of them.
    #[arg(long, default_value = "0.01", value_name = "FRACTION")]
    largest_deviation: f64,
    /// The layouts in which weights are packed, with commas between them: how many columns a panel
    /// has that the kernels of a node's processor read. 16 is for x86-64 and 64-bit ARM.
    #[arg(long, value_delimiter = ',', default_value = "16")]
    lanes: Vec<usize>,
    /// Leave the ONNX file out where the package runs without it.
    #[arg(long)]
    without_source: bool,
    /// The package of the model that the files were tuned from: the packages then hold what they
    /// change of it, and run over it.
    #[arg(long, value_name = "PACKAGE", conflicts_with_all = ["weights", "lanes", "without_source"])]
    base: Option<PathBuf>,
    /// Over a base, the largest rank of what a matrix is changed by.
    #[arg(long, default_value = "8", requires = "base")]
    rank: usize,
    /// Over a base, what such changes are kept as. They become wider where answers would be further off
    /// than is accepted, or numbers are too large.
    #[arg(long, value_enum, default_value = "f16", requires = "base")]
    pairs: Pairs,
    /// Over a base, put the ONNX file into the package, which makes it as large as a whole one.
    #[arg(long, requires = "base")]
    with_source: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Weights {
    F32,
    F16,
    Int8,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Pairs {
    F32,
    F16,
    I8,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let into_folder = arguments.output.as_ref().is_some_and(|it| it.is_dir());
    if arguments.files.len() > 1 && arguments.output.is_some() && !into_folder {
        bail!("expected a folder to write several packages to, found none: make it, or name one");
    }
    let base = arguments.base.as_deref().map(super::open).transpose()?;
    for file in &arguments.files {
        let output = match &arguments.output {
            Some(folder) if into_folder => {
                folder.join(file.file_name().unwrap_or_default()).with_extension("bha")
            }
            Some(output) => output.clone(),
            None => file.with_extension("bha"),
        };
        pack_one(arguments, base.as_ref(), file, &output)?;
    }
    Ok(())
}

fn pack_one(
    arguments: &Arguments,
    base: Option<&Package>,
    file: &Path,
    output: &Path,
) -> Result<()> {
    let onnx = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut trained_on = arguments.trained_on.clone();
    trained_on.sort();
    let identity = Identity {
        tenant: arguments.tenant.clone(),
        name: arguments.name.clone().unwrap_or_else(|| stem.into_owned()),
        version: arguments.version.clone(),
        trained_on,
    };
    let (bytes, runs, than, deviation) = match base {
        Some(base) => {
            let packed = pack_over(base, &onnx, &over(arguments, identity));
            let packed = packed.with_context(|| format!("{}", file.display()))?;
            let than = "the whole fine-tuned model";
            (packed.bytes, packed.changed.to_string(), than, Some(packed.deviation))
        }
        None => {
            let packed = pack(&onnx, &whole(arguments, identity));
            let packed = packed.with_context(|| format!("{}", file.display()))?;
            (packed.bytes, packed.path.to_string(), "f32", packed.deviation)
        }
    };
    std::fs::write(output, &bytes)
        .with_context(|| format!("could not write {}", output.display()))?;
    println!("{}", output.display());
    println!("  digest  {}", Digest::of(&bytes));
    println!("  bytes   {}", bytes.len());
    if let Some(base) = base {
        println!("  base    {}", base.file().digest());
    }
    println!("  runs    {runs}");
    if let Some(Deviation { largest, mean, numbers }) = deviation {
        println!(
            "  differs from {than} by {largest:.2e} at most and {mean:.2e} in the mean of {numbers} \
             numbers"
        );
    }
    Ok(())
}

fn whole(arguments: &Arguments, identity: Identity) -> Pack {
    Pack {
        identity,
        weights: match arguments.weights {
            Weights::F32 => WeightKind::F32,
            Weights::F16 => WeightKind::F16,
            Weights::Int8 => WeightKind::I8,
        },
        largest_deviation: arguments.largest_deviation,
        with_source: !arguments.without_source,
        lanes: arguments.lanes.clone(),
    }
}

const fn over(arguments: &Arguments, identity: Identity) -> PackOver {
    PackOver {
        identity,
        rank: arguments.rank,
        pairs: match arguments.pairs {
            Pairs::F32 => PairKind::F32,
            Pairs::F16 => PairKind::F16,
            Pairs::I8 => PairKind::I8,
        },
        largest_deviation: arguments.largest_deviation,
        with_source: arguments.with_source,
    }
}
