//! How long one request takes with the same public client, beside Triton and MLServer with the same
//! model file.
//!
//! All servers run at once; every round visits each of them with each load, in an order that
//! changes from round to round. See `bench/README.md` for what is compared and what is not.

mod bulkhead;
mod client;
mod peers;
mod python;
mod report;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use devstack::environment;
use serde::Serialize;

use crate::results;
use bulkhead::Bulkhead;
use client::{Client, Slot};
use peers::Peer;
use report::{Case, Report};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many rounds; a result is their median
    #[arg(long, default_value_t = 6)]
    rounds: u32,
    /// Milliseconds for which each load of each server is measured in a round
    #[arg(long, default_value_t = 900)]
    slot_ms: u64,
    /// Where the results go, in JSON [default: bench/results/server.json]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// The sidecar alone, with a passport.
    Sidecar,
    /// The whole way: gate, recheck, sidecar, with a tenant's token.
    Edge,
    Triton,
    Mlserver,
}

const SIDES: [Side; 4] = [Side::Sidecar, Side::Edge, Side::Triton, Side::Mlserver];

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

/// One way of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Load {
    pub(crate) protocol: Protocol,
    /// Of one request.
    pub(crate) rows: u32,
    /// Each with one request at a time, in a process of its own.
    pub(crate) connections: usize,
}

/// Where a server is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
}

impl Addresses {
    const fn of(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Http => self.http,
            Protocol::Grpc => self.grpc,
        }
    }
}

/// Every server.
struct Servers {
    bulkhead: Bulkhead,
    triton: Peer,
    mlserver: Peer,
}

/// Measures, prints and records. It fails where the measuring does, not where a bar is missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds > 0, "expected at least one round, found none");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(measure(options))?;
    println!("{report}");
    results::record("server", options.out.as_deref(), &report)
}

async fn measure(options: &Options) -> Result<Report> {
    let folder = tempfile::TempDir::with_prefix("bulkhead-bench-")?;
    let model = environment::repository().join("examples/flights/models/aa.onnx");
    let servers = Servers {
        bulkhead: Bulkhead::start().await?,
        triton: peers::triton(&model, folder.path()).await?,
        mlserver: peers::mlserver(&model, folder.path()).await?,
    };
    let mut client = Client::start()?;
    let mut cases: Vec<Case> = loads().map(Case::new).collect();
    for round in 0..options.rounds as usize {
        for (at, case) in cases.iter_mut().enumerate() {
            for turn in 0..SIDES.len() {
                // Another one first in each round and each load.
                let Some(side) = SIDES.get((turn + round + at) % SIDES.len()) else { continue };
                let slot = slot(&servers, *side, case.load, options)?;
                let measured = client.measure(&slot).with_context(|| format!("{side:?}"))?;
                case.add(*side, measured);
            }
        }
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    Ok(Report { rounds: options.rounds, slot_ms: options.slot_ms, cases })
}

fn loads() -> impl Iterator<Item = Load> {
    [Protocol::Http, Protocol::Grpc].into_iter().flat_map(|protocol| {
        [1, 32].into_iter().flat_map(move |rows| {
            [1, 8].into_iter().map(move |connections| Load { protocol, rows, connections })
        })
    })
}

fn slot(servers: &Servers, side: Side, load: Load, options: &Options) -> Result<Slot> {
    let Servers { bulkhead, triton, mlserver } = servers;
    let (addresses, headers) = match side {
        Side::Sidecar => (bulkhead.sidecar(), bulkhead.passport()?),
        Side::Edge => (bulkhead.edge(), bulkhead.token()),
        Side::Triton => (triton.addresses, None),
        Side::Mlserver => (mlserver.addresses, None),
    };
    Ok(Slot {
        protocol: load.protocol,
        address: addresses.of(load.protocol).to_string(),
        // It reads no binary tensors over HTTP.
        binary: side != Side::Mlserver,
        headers: headers.into_iter().collect(),
        rows: load.rows,
        connections: load.connections,
        seconds: Duration::from_millis(options.slot_ms).as_secs_f64(),
        minutes: bulkhead::MINUTES,
        flight: bulkhead::flight(),
    })
}
