//! Tenants' adapters of one base: whether a thousand of them are served as fast as one, also where they
//! do not all fit the cache, and what each holds while it is idle.
//!
//! Everything is as in a sidecar but for the network: a store, the cache of models, and the executor
//! with its fair queue, which joins requests of one family. The three sides take turns, in one process
//! and with the same clients. Start with [`run`], then `family.rs`.

mod clients;
mod family;
mod report;

use std::{path::Path, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use inference::changes::PairKind;
use scheduler::queue::Join;
use tempfile::TempDir;

use crate::results;
use clients::{Clients, Side};
use family::Family;
use report::Report;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each side is measured; a result is the median
    #[arg(long, default_value_t = 16)]
    rounds: usize,
    /// How long one measurement takes, in milliseconds
    #[arg(long, default_value_t = 2000)]
    slot_ms: u64,
    /// How many adapters there are, each a tenant's
    #[arg(long, default_value_t = 1024)]
    adapters: usize,
    /// What their thin matrices are kept as
    #[arg(long, value_enum, default_value = "i8")]
    pairs: Pairs,
    /// How many requests wait or run at any time; where they are no more than run, what a client does
    /// between two of them is measured too
    #[arg(long, default_value_t = 256)]
    clients: usize,
    /// The most rows that run as one
    #[arg(long, default_value_t = 64)]
    rows: u64,
    /// How long a request waits for company, in microseconds
    #[arg(long, default_value_t = 2000)]
    wait_us: u64,
    /// Where the results go, in JSON [default: bench/results/adapters.json]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where the models are written: a folder on a disk [default: .bulkhead]
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Pairs {
    F32,
    F16,
    I8,
}

impl From<Pairs> for PairKind {
    fn from(pairs: Pairs) -> Self {
        match pairs {
            Pairs::F32 => Self::F32,
            Pairs::F16 => Self::F16,
            Pairs::I8 => Self::I8,
        }
    }
}

/// Measures, prints and records. It fails where the measuring does, not where a bar is missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds > 0 && options.adapters > 4 && options.clients > 0, "expected some");
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.bulkhead");
    let folder = options.folder.clone().unwrap_or_else(usual);
    std::fs::create_dir_all(&folder)?;
    let folder = TempDir::with_prefix_in("adapters-", &folder)?;
    let family = Family::make(folder.path(), options.adapters, options.pairs.into())?;
    eprintln!("{} adapters of {} bytes", options.adapters, family.adapter_bytes());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    let report = runtime.block_on(measure(options, &family))?;
    println!("{report}");
    results::record("adapters", options.out.as_deref(), &report)
}

async fn measure(options: &Options, family: &Family) -> Result<Report> {
    let slot = Duration::from_millis(options.slot_ms);
    let wait = Duration::from_micros(options.wait_us);
    let join = Join { max_rows: options.rows, wait };
    let clients = Clients::start(family, options.clients, join)?;
    let memory = clients.idle_memory().await?;
    let mut report = Report::new(options.clients, join, family, memory);
    // Each adapter's first joint run is done twice and compared, which is no more than once for each.
    for side in Side::ALL {
        clients.ask(side, slot * 2).await?;
    }
    for round in 0..options.rounds {
        let mut order = Side::ALL;
        order.rotate_left(round % Side::ALL.len());
        let mut asked = vec![];
        for side in order {
            asked.push((side, clients.ask(side, slot).await?));
        }
        report.add(&asked);
        eprintln!("{} of {} rounds", round + 1, options.rounds);
    }
    Ok(report)
}
