//! The engine beside onnxruntime: how soon a model that is not loaded answers, how fast it answers
//! then, and how many models one node holds.
//!
//! onnxruntime runs in a process of its own, on the same processor; the two take turns, so that
//! whatever else happens on the machine happens to both. See `bench/README.md` for what is compared
//! and what is not. Start with [`run`], then `cold.rs`.

mod cold;
mod density;
pub(crate) mod memory;
mod operators;
mod ours;
mod peer;
mod report;
pub(crate) mod variants;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;

use crate::results;
use cold::{Bench, Cold, SIZES};
use operators::Operators;
use ours::Ours;
use peer::Peer;
use report::Report;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these parts, which may be given several times [default: all]
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// How many first answers, and how many rounds of answers; a result is their median
    #[arg(long, default_value_t = 32)]
    rounds: usize,
    /// How many distinct files of each size there are, for first answers
    #[arg(long, default_value_t = 8)]
    files: usize,
    /// How many models the one node holds
    #[arg(long, default_value_t = 20_000)]
    models: usize,
    /// Where the results go, in JSON [default: bench/results/engine.json]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where the models are written: a folder on a disk [default: .bulkhead]
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// First answers, speed and memory of models of 22 MB and of 346 KB
    Cold,
    /// Thousands of models on one node
    Density,
    /// ONNX's tests of operators
    Operators,
}

impl Options {
    fn measures(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

/// Measures, prints and records. It fails where the measuring does, not where a bar is missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds > 0 && options.files > 0 && options.models > 0, "expected some of each");
    keep_to_one_processor()?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut peer = Peer::start(&here.join("src/engine/peer.py"))?;
    let folder = options.folder.clone().unwrap_or_else(|| here.join("../.bulkhead"));
    std::fs::create_dir_all(&folder)?;
    let report = Report {
        onnxruntime: peer.version()?,
        kernels: kernels::kernel_names().collect(),
        sizes: if options.measures(Part::Cold) {
            SIZES
                .iter()
                .map(|size| cold(options, size, &mut peer, &folder))
                .collect::<Result<_>>()?
        } else {
            vec![]
        },
        density: if options.measures(Part::Density) {
            let folder = TempDir::with_prefix_in("engine-", &folder)?;
            let ours = Ours::new(folder.path())?;
            Some(density::measure(folder.path(), &ours, &mut peer, options.models)?)
        } else {
            None
        },
        operators: options.measures(Part::Operators).then(Operators::read).transpose()?,
    };
    println!("{report}");
    results::record("engine", options.out.as_deref(), &report)
}

fn cold(options: &Options, size: &cold::Size, peer: &mut Peer, folder: &Path) -> Result<Cold> {
    eprintln!("models of {}", size.name);
    let folder = TempDir::with_prefix_in("engine-", folder)?;
    let ours = Ours::new(folder.path())?;
    let (models, rounds) = (options.files, options.rounds);
    Bench { folder: folder.path(), ours: &ours, peer, models, rounds }.measure(size)
}

/// Keeps this thread, and every process that it starts, on one processor.
fn keep_to_one_processor() -> Result<()> {
    let all = sched_getaffinity(None).context("could not read the processor affinity")?;
    let mut one = CpuSet::new();
    if let Some(last) = (0..CpuSet::MAX_CPU).rfind(|cpu| all.is_set(*cpu)) {
        one.set(last);
    }
    sched_setaffinity(None, &one).context("could not set the processor affinity")
}
