//! A device: many tenants' small models in one dispatch, and large ones beside onnxruntime.
//!
//! What is measured is a [`GpuBackend`] that answers on the device whatever it is asked, called as the
//! sidecar calls it, with requests and answers in the host's memory. See `bench/README.md` for what is
//! compared and what is not. Start with [`run`].

mod grouped;
mod kernels;
mod models;
mod report;
mod speed;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use gpu::{Choice, Device, GpuBackend, Mode, Settings};
use inference::{Limits, cpu::CpuBackend};
use tempfile::TempDir;

use crate::{engine::peer::Peer, results};
use models::Models;
use report::Report;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which device: `auto`, a number, or a part of its name
    #[arg(long, default_value = "auto")]
    device: Choice,
    /// Only these parts, which may be given several times [default: grouped]
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// How many rounds; a result is their median
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// How many tenants' models are in one dispatch
    #[arg(long, default_value_t = 64)]
    tenants: usize,
    /// The batches of the large models
    #[arg(long, value_delimiter = ',', default_value = "1,32,256")]
    batches: Vec<usize>,
    /// The large models; those of all kinds where it is not said
    #[arg(long, value_enum, value_delimiter = ',')]
    models: Vec<speed::Kind>,
    /// Rows of the product, whatever the batches of the other large models
    #[arg(long, default_value_t = 4096)]
    rows: usize,
    /// How many answers a round has of each of the large models
    #[arg(long, default_value_t = 5)]
    answers: usize,
    /// The card's peak in TFLOP/s, of f32 or of what multiplies here, to tell what share of it its kernels
    /// reach
    #[arg(long)]
    peak_tflops: Option<f64>,
    /// What the card reads of its memory at the most, in GB/s, where that may be what bounds it
    #[arg(long)]
    peak_gbytes: Option<f64>,
    /// Use cooperative matrices for 16-bit weights, where the device has them
    #[arg(long)]
    cooperative: bool,
    /// What the large models' weights are
    #[arg(long, value_enum, default_value = "f32")]
    weights: speed::Weights,
    /// Where the results go, in JSON [default: bench/results/device.json]
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Small models of many tenants, in one dispatch and one after another
    Grouped,
    /// Large models beside onnxruntime
    Speed,
}

/// More than any model here takes.
const BUDGET_BYTES: u64 = 8 << 30;
/// A device that computes on the CPU takes long for the large models, and does not hang.
const LONGEST_ANSWER: Duration = Duration::from_secs(600);

/// Measures, prints and records. It fails where the measuring does, not where a bar is missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds > 0 && options.tenants > 1, "expected some rounds, and several tenants");
    ensure!(options.answers > 0, "expected some answers in a round");
    let settings = Settings {
        choice: options.device.clone(),
        budget_bytes: BUDGET_BYTES,
        hang_after: LONGEST_ANSWER,
        compile_within: LONGEST_ANSWER,
        cooperative_matrices: options.cooperative,
        ..Settings::default()
    };
    let device = Device::open(settings).with_context(|| {
        format!(
            "no device `{}`; there are {:?} (--device llvmpipe is the CPU, where Mesa's driver is installed)",
            options.device,
            gpu::adapters()
        )
    })?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut peer = Peer::start(&here.join("src/device/peer.py"))?;
    let folder = TempDir::with_prefix("device-")?;
    let limits = Limits { max_tensor_bytes: 4 << 30, ..Limits::default() };
    let cpu = CpuBackend::new(limits);
    let adapter = device.adapter();
    ensure!(
        !options.cooperative || adapter.has_cooperative_matrices,
        "expected a device with cooperative matrices, found {adapter}"
    );
    let backend = GpuBackend::new(cpu.clone(), Some(device), Mode::Always);
    let mut models = Models { folder: folder.path(), peer: &mut peer, backend, cpu };
    let wants = |part| match options.parts.as_slice() {
        [] => part == Part::Grouped,
        parts => parts.contains(&part),
    };
    let grouped = wants(Part::Grouped)
        .then(|| grouped::measure(&mut models, options.tenants, options.rounds))
        .transpose()?
        .unwrap_or_default();
    let speed = if wants(Part::Speed) { speed::measure(&mut models, options)? } else { vec![] };
    let report = Report {
        adapter: adapter.to_string(),
        cooperative: options.cooperative,
        onnxruntime: models.peer.version()?,
        wgpu: locked("wgpu").context("Cargo.lock has no wgpu")?.to_owned(),
        grouped,
        speed,
    };
    println!("{report}");
    results::record("device", options.out.as_deref(), &report)
}

/// The version of a crate that was built, as `Cargo.lock` has it.
fn locked(name: &str) -> Option<&'static str> {
    const LOCK: &str = include_str!("../../../Cargo.lock");
    let (_, package) = LOCK.split_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    package.split('"').next()
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_those_of_the_lock_file() {
        let version = super::locked("wgpu").unwrap();
        assert_eq!(
            version.split('.').filter(|it| it.parse::<u32>().is_ok()).count(),
            3,
            "{version}"
        );
        assert_eq!(super::locked("no such crate"), None);
    }
}
