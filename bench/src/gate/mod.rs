//! What the gate adds to a request, beside what Envoy's own filters add for the same work.
//!
//! Four Envoys of one worker each run at once; every round visits each of them with each load, in
//! an order that changes from round to round, so that whatever else happens on the machine happens
//! to all of them. See `bench/README.md` for what is compared and what is not.

mod bootstrap;
mod fixture;
mod proxy;
mod report;
mod workload;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::task::LocalSet;

use crate::{
    affinity::Division,
    load::{self, Shape},
    results,
    spread::quantile,
    upstream,
};
use bootstrap::Variant;
use fixture::Fixture;
use proxy::Proxy;
use report::Report;
use workload::Workload;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many rounds; a result is their median
    #[arg(long, default_value_t = 80)]
    rounds: u32,
    /// How often in the course of the rounds all Envoys are started anew: how fast a process is
    /// depends on where its memory came to lie
    #[arg(long, default_value_t = 8)]
    starts: u32,
    /// Milliseconds for which each of the loads of each of the Envoys is measured in a round
    #[arg(long, default_value_t = 200)]
    slot_ms: u64,
    /// Milliseconds of load before each of these that are not measured
    #[arg(long, default_value_t = 80)]
    warm_up_ms: u64,
    /// Only these loads, which may be given several times [default: all]
    #[arg(long = "load", value_name = "LOAD")]
    loads: Vec<Workload>,
    /// Keep-alive connections, each with one request at a time
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Where the results go, in JSON [default: bench/results/gate.json]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Another build of gate.wasm, to be measured in the same run
    #[arg(long)]
    other_gate: Option<PathBuf>,
    /// Keep the bootstraps and logs of the Envoys in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

impl Options {
    fn measures(&self, workload: Workload) -> bool {
        self.loads.is_empty() || self.loads.contains(&workload)
    }
}

/// One load on one Envoy in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    pub(crate) variant: Variant,
    pub(crate) workload: Workload,
    /// CPU time of the Envoy for each answered request, in microseconds.
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) answered: u64,
    pub(crate) elapsed: Duration,
}

/// Measures, prints and records. It fails where the measuring does, not where a bar is missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds > 0, "expected at least one round, found none");
    ensure!(options.starts > 0, "expected at least one start, found none");
    let temporary = tempfile::tempdir()?;
    let folder = options.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let division = Division::of_the_first()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = async {
        let fixture = Fixture::generate()?;
        let upstream = upstream::serve().await?;
        division.keep_this_thread()?;
        let mut measurements = Vec::new();
        let per_start = options.rounds.div_ceil(options.starts).max(1) as usize;
        let rounds: Vec<u32> = (0..options.rounds).collect();
        for rounds in rounds.chunks(per_start) {
            let proxies = start(options, &fixture, upstream, folder, &division).await?;
            measurements.extend(measure(options, &fixture, &proxies, rounds).await?);
        }
        anyhow::Ok(measurements)
    };
    let measurements = LocalSet::new().block_on(&runtime, measured)?;
    let report = Report::new(options, division.processors, &measurements)?;
    println!("{report}");
    results::record("gate", options.out.as_deref(), &report)
}

async fn start(
    options: &Options,
    fixture: &Fixture,
    upstream: SocketAddr,
    folder: &Path,
    division: &Division,
) -> Result<Vec<Proxy>> {
    let gate = proxy::gate_wasm()?;
    let mut proxies = Vec::new();
    for variant in Variant::ALL {
        let code = match (variant, &options.other_gate) {
            (Variant::OtherGate, None) => continue,
            (Variant::OtherGate, Some(other)) => other,
            _ => &gate,
        };
        proxies.push(Proxy::start(variant, fixture, upstream, code, folder, division).await?);
    }
    Ok(proxies)
}

async fn measure(
    options: &Options,
    fixture: &Fixture,
    proxies: &[Proxy],
    rounds: &[u32],
) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    eprint!("warming up ...");
    for workload in Workload::ALL.into_iter().filter(|it| options.measures(*it)) {
        for proxy in proxies {
            visit(options, fixture, proxy, workload).await?;
        }
    }
    eprintln!(" done");
    for &round in rounds {
        eprint!("round {} of {} ...", round + 1, options.rounds);
        for workload in Workload::ALL.into_iter().filter(|it| options.measures(*it)) {
            for turn in 0..proxies.len() {
                let Some(proxy) = proxies.get((turn + round as usize) % proxies.len()) else {
                    continue;
                };
                // Both peers verify alike: what they do after that does not matter here.
                let redundant = proxy.variant == Variant::NativePerTenant;
                if redundant && workload == Workload::BadSignatures {
                    continue;
                }
                let measurement = visit(options, fixture, proxy, workload).await;
                measurements.push(measurement.with_context(|| {
                    let (variant, log) = (proxy.variant.name(), proxy.log_tail());
                    format!("{} at the {variant} Envoy; its log ends:\n{log}", workload.name())
                })?);
            }
        }
        eprintln!(" done");
    }
    Ok(measurements)
}

async fn visit(
    options: &Options,
    fixture: &Fixture,
    proxy: &Proxy,
    workload: Workload,
) -> Result<Measurement> {
    let (variant, target) = (proxy.variant, proxy.listen);
    workload::check_one_request(variant, target, fixture).await?;
    let shape = Shape {
        connections: options.connections,
        warm_up: Duration::from_millis(options.warm_up_ms),
        measured: Duration::from_millis(options.slot_ms),
    };
    let requests = workload.requests(variant, target, fixture)?;
    let outcome =
        load::run(target, shape, workload.expected(variant), requests, || proxy.cpu()).await?;
    let [before, after] = outcome.meter;
    let quantile = |share| {
        quantile(&outcome.latencies, share).map(f64::from).context("no request was answered")
    };
    Ok(Measurement {
        variant,
        workload,
        cpu_us: (after - before).as_secs_f64() * 1e6 / outcome.answered as f64,
        p50_us: quantile(0.5)?,
        p99_us: quantile(0.99)?,
        answered: outcome.answered,
        elapsed: outcome.elapsed,
    })
}
