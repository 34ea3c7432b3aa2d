//! Whether one tenant's flood is felt by the others, and what fairness costs.
//!
//! Two real sidecars with the same model and tenants, one fair, the other first come, first served.
//! Some tenants send a little, evenly, and one sends many times its share; what counts is how long
//! the little ones wait beside how long they wait without it, and how much is answered in all.

mod load;
mod model;
mod node;
mod report;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};

use crate::{affinity::Division, results};
use load::{Load, Outcome, Stream};
use node::{Node, Plane};
use report::{Phase, Report};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often everything is measured
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// How long each measurement takes
    #[arg(long, value_name = "MS", default_value_t = 3000)]
    slot_ms: u64,
    /// How many tenants send a little
    #[arg(long, default_value_t = 4)]
    victims: u32,
    /// What part of its share each of them sends
    #[arg(long, default_value_t = 0.25)]
    part: f64,
    /// Where the results go, in JSON [default: bench/results/fairness.json]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// How many times its share the flood is.
const FLOODS: [u32; 2] = [10, 100];

/// Connections of the flood, and of each of the others, of which each has one request at a time.
const FLOOD_CONNECTIONS: u32 = 128;
const VICTIM_CONNECTIONS: u32 = 8;

/// Measures, prints and records. It fails where the measuring does, not where a bar is missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(
        options.rounds > 0 && options.victims > 0,
        "expected at least one round and one victim"
    );
    let division = Division::in_halves()?;
    // The runtime's threads inherit it.
    division.keep_this_thread()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(measure(options, &division))?;
    println!("{report}");
    results::record("fairness", options.out.as_deref(), &report.results())
}

async fn measure(options: &Options, division: &Division) -> Result<Report> {
    let victims: Vec<String> = (0..options.victims).map(|n| format!("org_{n}")).collect();
    let flood = "org_flood".to_owned();
    let plane = Plane::start(victims.iter().chain([&flood])).await?;
    let processors = division.measured();
    let fair = plane.sidecar("fair", &processors).await?;
    let arrival = plane.sidecar("arrival", &processors).await?;
    let slot = Duration::from_millis(options.slot_ms);

    let capacity = capacity(&plane, &arrival, &flood, slot).await?;
    let share = capacity / f64::from(options.victims + 1);
    let phases = Phases { plane: &plane, victims, flood, share, part: options.part, slot };
    let mut report = Report::new(capacity, options.victims, options.part);
    for round in 0..options.rounds {
        report.add(Phase::Solo, phases.measure(&fair, None).await?);
        for flood in FLOODS {
            // The one first in one round, the other in the next.
            let mut sides = [(Phase::Fair(flood), &fair), (Phase::Arrival(flood), &arrival)];
            if round % 2 == 1 {
                sides.reverse();
            }
            for (phase, node) in sides {
                report.add(phase, phases.measure(node, Some(flood)).await?);
            }
        }
        eprintln!("{} of {} rounds", round + 1, options.rounds);
    }
    Ok(report)
}

/// How many requests a sidecar answers in a second where there are always some.
async fn capacity(plane: &Plane, node: &Node, flood: &str, slot: Duration) -> Result<f64> {
    let stream = Stream {
        passport: plane.passport(flood)?,
        connections: 16,
        per_second: None,
        is_counted: true,
    };
    let load = Load { socket: node.socket(), body: plane.body() };
    let warm = load.run(std::slice::from_ref(&stream), slot / 2).await?;
    ensure!(warm.answered > 0, "expected answers, found none: {warm:?}");
    Ok(load.run(&[stream], slot).await?.per_second())
}

struct Phases<'a> {
    plane: &'a Plane,
    victims: Vec<String>,
    flood: String,
    /// Requests a second.
    share: f64,
    part: f64,
    slot: Duration,
}

impl Phases<'_> {
    async fn measure(&self, node: &Node, flood: Option<u32>) -> Result<Outcome> {
        let mut streams = vec![];
        for victim in &self.victims {
            streams.push(Stream {
                passport: self.plane.passport(victim)?,
                connections: VICTIM_CONNECTIONS,
                per_second: Some(self.share * self.part),
                is_counted: true,
            });
        }
        if let Some(times) = flood {
            streams.push(Stream {
                passport: self.plane.passport(&self.flood)?,
                connections: FLOOD_CONNECTIONS,
                per_second: Some(self.share * f64::from(times)),
                is_counted: false,
            });
        }
        let load = Load { socket: node.socket(), body: self.plane.body() };
        load.run(&streams, self.slot).await
    }
}
