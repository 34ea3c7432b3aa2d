//! What came of it, beside the bars.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::{Value, json};

use super::{FLOODS, load::Outcome};
use crate::{
    results::verdict,
    spread::{Spread, quantile},
};

/// What victims wait beside what they wait alone, at the 99th percentile.
const LATENCY_BAR: f64 = 1.2;
/// What is answered in all beside what is answered first come, first served.
const THROUGHPUT_BAR: f64 = 0.95;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The victims alone.
    Solo,
    /// Beside a flood of so many times its share, fairly.
    Fair(u32),
    /// The same, first come, first served.
    Arrival(u32),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Solo => write!(f, "alone"),
            Self::Fair(times) => write!(f, "flood x{times}, fair"),
            Self::Arrival(times) => write!(f, "flood x{times}, first come"),
        }
    }
}

/// Every round of one phase.
#[derive(Debug, Default)]
struct Rounds {
    latencies: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    per_second: Vec<f64>,
    refused: u64,
    victims_refused: u64,
}

#[derive(Debug)]
pub(super) struct Report {
    capacity: f64,
    victims: u32,
    part: f64,
    phases: BTreeMap<Phase, Rounds>,
}

#[derive(Serialize)]
struct Row {
    phase: String,
    /// Of all rounds together, in milliseconds.
    victims_p99_ms: Option<f64>,
    victims_p50_ms_by_round: Option<Spread>,
    victims_p99_ms_by_round: Option<Spread>,
    answered_per_second: Option<Spread>,
    refused: u64,
    victims_refused: u64,
}

impl Report {
    pub(super) fn new(capacity: f64, victims: u32, part: f64) -> Self {
        Self { capacity, victims, part, phases: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, phase: Phase, outcome: Outcome) {
        let rounds = self.phases.entry(phase).or_default();
        rounds.per_second.push(outcome.per_second());
        rounds.refused += outcome.refused;
        rounds.victims_refused += outcome.victims_refused;
        let mut latencies = outcome.latencies;
        latencies.sort_by(f64::total_cmp);
        rounds.p50.extend(quantile(&latencies, 0.5));
        rounds.p99.extend(quantile(&latencies, 0.99));
        rounds.latencies.extend(latencies);
    }

    /// What is recorded.
    pub(super) fn results(&self) -> Value {
        let rows: Vec<Row> = self.phases.iter().map(row).collect();
        json!({
            "capacity_per_second": self.capacity,
            "victims": self.victims,
            "part_of_share": self.part,
            "phases": rows,
        })
    }

    /// Of the median round: something else on the machine disturbs one, but not half of them.
    fn p99(&self, phase: Phase) -> Option<f64> {
        let rounds = self.phases.get(&phase)?;
        Spread::of(rounds.p99.iter().copied()).map(|spread| spread.median)
    }

    fn per_second(&self, phase: Phase) -> Option<f64> {
        let rounds = self.phases.get(&phase)?;
        Spread::of(rounds.per_second.iter().copied()).map(|spread| spread.median)
    }
}

fn p99(rounds: &Rounds) -> Option<f64> {
    let mut all = rounds.latencies.clone();
    all.sort_by(f64::total_cmp);
    quantile(&all, 0.99)
}

fn row((phase, rounds): (&Phase, &Rounds)) -> Row {
    Row {
        phase: phase.to_string(),
        victims_p99_ms: p99(rounds),
        victims_p50_ms_by_round: Spread::of(rounds.p50.iter().copied()),
        victims_p99_ms_by_round: Spread::of(rounds.p99.iter().copied()),
        answered_per_second: Spread::of(rounds.per_second.iter().copied()),
        refused: rounds.refused,
        victims_refused: rounds.victims_refused,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{} tenants send {} of their share each; the node answers {:.0}/s; milliseconds, median (lower to upper quartile) of the rounds\n",
            self.victims, self.part, self.capacity
        )?;
        for row in self.phases.iter().map(row) {
            let text = |spread: &Option<Spread>, digits| {
                spread.map_or_else(String::new, |spread| spread.text(digits))
            };
            writeln!(
                f,
                "{:<26} p50 {:<24} p99 {:<24} p99 of all {:<7.2} answered/s {:<22} refused {} (victims {})",
                row.phase,
                text(&row.victims_p50_ms_by_round, 2),
                text(&row.victims_p99_ms_by_round, 2),
                row.victims_p99_ms.unwrap_or(f64::NAN),
                text(&row.answered_per_second, 0),
                row.refused,
                row.victims_refused,
            )?;
        }
        writeln!(f)?;
        for times in FLOODS {
            let (fair, arrival) = (Phase::Fair(times), Phase::Arrival(times));
            if let (Some(solo), Some(flooded)) = (self.p99(Phase::Solo), self.p99(fair)) {
                let ratio = flooded / solo;
                let verdict = verdict(ratio <= LATENCY_BAR);
                writeln!(
                    f,
                    "{verdict} (at most {LATENCY_BAR}): victims' p99 beside a flood of {times} times its share, to alone: {ratio:.2}"
                )?;
            }
            if let (Some(fair), Some(peer)) = (self.per_second(fair), self.per_second(arrival)) {
                let ratio = fair / peer;
                let verdict = verdict(ratio >= THROUGHPUT_BAR);
                writeln!(
                    f,
                    "{verdict} (at least {THROUGHPUT_BAR}): answered in all beside it, to first come, first served: {ratio:.2}"
                )?;
            }
        }
        Ok(())
    }
}
