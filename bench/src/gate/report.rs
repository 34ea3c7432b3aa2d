//! The medians, and how they stand to the bars.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Measurement, Options, bootstrap::Variant, workload::Workload};
use crate::spread::Spread;

/// The gate adds at most so many times the CPU that the peer adds.
const ADDED_BAR: f64 = 2.0;

/// A badly signed token costs at most so many times the CPU that it costs the peer.
const BAD_SIGNATURE_BAR: f64 = 1.5;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    processors: u32,
    rounds: u32,
    slot_ms: u64,
    connections: usize,
    rows: Vec<Row>,
    bars: Vec<Bar>,
}

/// One load at one Envoy.
#[derive(Debug, Serialize)]
struct Row {
    workload: &'static str,
    variant: &'static str,
    /// CPU time of the whole process for each request, in microseconds.
    cpu_us: Spread,
    /// That, less the bare Envoy's in the same round.
    added_us: Spread,
    /// How much of one processor it used: near 1, it was the bottleneck.
    busy: Spread,
    p50_us: Spread,
    p99_us: Spread,
    requests_per_second: Spread,
    requests: u64,
}

/// A ratio of the gate to the peer and how great it may be.
#[derive(Debug, Serialize)]
struct Bar {
    what: String,
    workload: &'static str,
    peer: &'static str,
    /// Of the medians.
    ratio: f64,
    /// Of each round.
    per_round: Spread,
    /// `None` for what is told but not judged.
    at_most: Option<f64>,
    pass: Option<bool>,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        processors: u32,
        measurements: &[Measurement],
    ) -> Result<Self> {
        let rounds = Rounds(measurements);
        let mut rows = Vec::new();
        for workload in Workload::ALL {
            for variant in Variant::ALL {
                rows.extend(rounds.row(workload, variant));
            }
        }
        let mut bars = Vec::new();
        let judged = [Workload::OneToken, Workload::ManyTokens];
        for workload in judged.into_iter().filter(|it| options.measures(*it)) {
            bars.push(rounds.added_bar(workload, Variant::Native, Some(ADDED_BAR))?);
            bars.push(rounds.added_bar(workload, Variant::NativePerTenant, None)?);
        }
        if options.measures(Workload::BadSignatures) {
            bars.push(rounds.bad_signature_bar()?);
            bars.push(rounds.added_bar(Workload::BadSignatures, Variant::Native, None)?);
        }
        Ok(Self {
            processors,
            rounds: options.rounds,
            slot_ms: options.slot_ms,
            connections: options.connections,
            rows,
            bars,
        })
    }
}

struct Rounds<'a>(&'a [Measurement]);

impl Rounds<'_> {
    /// The measurements of one load at one Envoy, by round.
    fn of(&self, workload: Workload, variant: Variant) -> Vec<&Measurement> {
        self.0.iter().filter(|one| one.workload == workload && one.variant == variant).collect()
    }

    fn cpu(&self, workload: Workload, variant: Variant) -> Vec<f64> {
        self.of(workload, variant).iter().map(|one| one.cpu_us).collect()
    }

    fn added(&self, workload: Workload, variant: Variant) -> Vec<f64> {
        let bare = self.cpu(workload, Variant::Bare);
        self.cpu(workload, variant).iter().zip(bare).map(|(all, bare)| all - bare).collect()
    }

    fn row(&self, workload: Workload, variant: Variant) -> Option<Row> {
        let measured = self.of(workload, variant);
        let spread = |of: fn(&Measurement) -> f64| Spread::of(measured.iter().map(|one| of(one)));
        let per_second = |one: &Measurement| one.answered as f64 / one.elapsed.as_secs_f64();
        Some(Row {
            workload: workload.name(),
            variant: variant.name(),
            cpu_us: spread(|one| one.cpu_us)?,
            added_us: Spread::of(self.added(workload, variant))?,
            busy: Spread::of(measured.iter().map(|one| one.cpu_us * per_second(one) / 1e6))?,
            p50_us: spread(|one| one.p50_us)?,
            p99_us: spread(|one| one.p99_us)?,
            requests_per_second: Spread::of(measured.iter().map(|one| per_second(one)))?,
            requests: measured.iter().map(|one| one.answered).sum(),
        })
    }

    fn added_bar(&self, workload: Workload, peer: Variant, at_most: Option<f64>) -> Result<Bar> {
        let (gate, native) = (self.added(workload, Variant::Gate), self.added(workload, peer));
        Bar::new("CPU added to a request", workload, peer, (gate, native), at_most)
    }

    fn bad_signature_bar(&self) -> Result<Bar> {
        let (workload, peer) = (Workload::BadSignatures, Variant::Native);
        let (gate, native) = (self.cpu(workload, Variant::Gate), self.cpu(workload, peer));
        let what = "CPU of a badly signed token, in all";
        Bar::new(what, workload, peer, (gate, native), Some(BAD_SIGNATURE_BAR))
    }
}

impl Bar {
    fn new(
        what: &str,
        workload: Workload,
        peer: Variant,
        (gate, native): (Vec<f64>, Vec<f64>),
        at_most: Option<f64>,
    ) -> Result<Self> {
        let nothing = "nothing was measured";
        let per_round = Spread::of(gate.iter().zip(&native).map(|(gate, native)| gate / native));
        let gate = Spread::of(gate).context(nothing)?.median;
        let native = Spread::of(native).context(nothing)?.median;
        let ratio = gate / native;
        Ok(Self {
            what: format!("{what}: {gate:.1} us to {native:.1} us"),
            workload: workload.name(),
            peer: peer.name(),
            ratio,
            per_round: per_round.context(nothing)?,
            at_most,
            pass: at_most.map(|bar| ratio <= bar),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processors, rounds, slot_ms, connections, .. } = self;
        writeln!(
            f,
            "\n{rounds} rounds of {slot_ms} ms, {connections} connections, one worker for each Envoy, \
             {processors} processors; median (lower to upper quartile)\n"
        )?;
        let columns = [
            "load",
            "Envoy",
            "CPU us/request",
            "added us",
            "p50 us",
            "p99 us",
            "requests/s",
            "busy",
        ];
        line(f, &columns.map(str::to_owned))?;
        for row in &self.rows {
            line(f, &row.cells())?;
        }
        writeln!(f)?;
        self.bars.iter().try_for_each(|bar| writeln!(f, "{bar}"))
    }
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[String; 8]) -> fmt::Result {
    let widths = [15, 18, 25, 23, 23, 25, 11, 5];
    for (cell, width) in cells.iter().zip(widths) {
        write!(f, "{cell:<width$}")?;
    }
    writeln!(f)
}

impl Row {
    fn cells(&self) -> [String; 8] {
        [
            self.workload.to_owned(),
            self.variant.to_owned(),
            self.cpu_us.text(1),
            self.added_us.text(1),
            self.p50_us.text(0),
            self.p99_us.text(0),
            format!("{:.0}", self.requests_per_second.median),
            format!("{:.2}", self.busy.median),
        ]
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, workload, peer, ratio, .. } = self;
        let verdict = match (self.pass, self.at_most) {
            (Some(true), Some(most)) => format!("PASS (at most {most})"),
            (Some(false), Some(most)) => format!("FAIL (at most {most})"),
            _ => "not judged".to_owned(),
        };
        let per_round = self.per_round.text(2);
        write!(
            f,
            "{verdict:<18} {workload}: gate {ratio:.2} times {peer}, by round {per_round}; {what}"
        )
    }
}
