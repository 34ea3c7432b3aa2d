//! How soon a change of policy is enforced, and what pushes leave behind in Envoy.
//!
//! One control plane in this process, with a real Envoy of two workers as its ingress, many
//! tenants, and callers whose every request a check denies: a denial names the revision of the
//! table that decided it, so each answer says which policy a worker had in force, and no answer
//! needs anything behind the ingress.

mod callers;
mod edge;
mod report;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    results,
    spread::{Spread, quantile},
};
use callers::Callers;
use edge::Edge;
use report::Report;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many tenants there are
    #[arg(long, default_value_t = 1000)]
    tenants: u32,
    /// How many commits are timed, each once the one before is in force everywhere
    #[arg(long, default_value_t = 300)]
    commits: u32,
    /// How many further pushes are made under load, to see what they leave behind
    #[arg(long, default_value_t = 10_000)]
    pushes: u32,
    /// Keep-alive connections, spread over the workers, each with one request at a time
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How many milliseconds each connection waits from one request to its next, so that the
    /// processors have time for the pushes; 0 asks without a pause
    #[arg(long, default_value_t = 4)]
    every_ms: u64,
    /// Where the results go, in JSON [default: bench/results/push.json]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The memory of Envoy after some pushes.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Memory {
    pub(crate) pushes: u32,
    /// Resident, in KiB.
    pub(crate) resident_kib: u64,
}

/// How often memory is looked at, in pushes.
const LOOK_EVERY: u32 = 100;

/// How long a push may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures, prints and records. It fails where the measuring does, not where a bar is missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.commits > 0, "expected at least one commit, found none");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(measure(options))?;
    println!("{report}");
    results::record("push", options.out.as_deref(), &report)
}

async fn measure(options: &Options) -> Result<Report> {
    let edge = Edge::start(options.tenants).await?;
    let callers = Callers::start(&edge, options.connections, options.every_ms).await?;
    let mut from_commit = Vec::new();
    let mut from_call = Vec::new();
    for number in 0..options.commits {
        let called = Instant::now();
        edge.commit(number).await?;
        let committed = Instant::now();
        let enforced = callers.all_changed(PATIENCE).await?;
        from_commit.push(enforced.saturating_duration_since(committed).as_secs_f64() * 1e3);
        from_call.push(enforced.saturating_duration_since(called).as_secs_f64() * 1e3);
        if (number + 1) % 50 == 0 {
            eprintln!("{} of {} commits", number + 1, options.commits);
        }
    }
    let mut memory = vec![Memory { pushes: 0, resident_kib: edge.resident_kib()? }];
    let (answered_before, began) = (callers.answered(), Instant::now());
    for number in 0..options.pushes {
        edge.commit(options.commits + number).await?;
        callers.all_changed(PATIENCE).await?;
        let pushes = number + 1;
        if pushes % LOOK_EVERY == 0 {
            memory.push(Memory { pushes, resident_kib: edge.resident_kib()? });
        }
        if pushes % 500 == 0 {
            let resident = memory.last().map_or(0, |memory| memory.resident_kib);
            eprintln!("{pushes} of {} pushes, {resident} KiB resident", options.pushes);
        }
    }
    let answered = callers.answered() - answered_before;
    let pushing_seconds = began.elapsed().as_secs_f64();
    let workers = edge.connections_by_worker().await?;
    callers.stop().await?;
    Ok(Report {
        tenants: options.tenants,
        commits: options.commits,
        every_ms: options.every_ms,
        connections_by_worker: workers,
        p99_from_commit_ms: p99(&from_commit)?,
        p99_from_call_ms: p99(&from_call)?,
        from_commit_ms: Spread::of(from_commit).context("nothing was measured")?,
        from_call_ms: Spread::of(from_call).context("nothing was measured")?,
        pushes: options.pushes,
        pushing_seconds,
        answered_under_pushes: answered,
        memory,
    })
}

/// The 99th percentile.
fn p99(values: &[f64]) -> Result<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.99).context("nothing was measured")
}
