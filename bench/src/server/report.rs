//! What came of it, beside the bar.

use std::fmt;

use serde::Serialize;

use super::{Load, SIDES, Side, client::Measured};
use crate::{results::verdict, spread::Spread};

/// The sidecar's p50 is at most this share of Triton's.
const BAR: f64 = 0.5;

/// One load on every server, round by round.
#[derive(Debug, Serialize)]
pub(super) struct Case {
    pub(super) load: Load,
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct Round {
    side: Side,
    #[serde(flatten)]
    measured: Measured,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) rounds: u32,
    pub(super) slot_ms: u64,
    pub(super) cases: Vec<Case>,
}

impl Case {
    pub(super) const fn new(load: Load) -> Self {
        Self { load, rounds: vec![] }
    }

    pub(super) fn add(&mut self, side: Side, measured: Measured) {
        self.rounds.push(Round { side, measured });
    }

    fn spread(&self, side: Side, value: fn(&Measured) -> f64) -> Option<Spread> {
        let of_side = self.rounds.iter().filter(|round| round.side == side);
        Spread::of(of_side.map(|round| value(&round.measured)))
    }

    /// The median p50 of `side` over Triton's.
    fn ratio(&self, side: Side) -> Option<f64> {
        let p50 = |side| self.spread(side, |measured| measured.p50_us);
        Some(p50(side)?.median / p50(Side::Triton)?.median)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "us a request; medians of {} rounds (quartiles)\n", self.rounds)?;
        for case in &self.cases {
            let Load { protocol, rows, connections } = case.load;
            writeln!(f, "{protocol:?}, batch {rows}, {connections} connections")?;
            for side in SIDES {
                let p50 = case.spread(side, |measured| measured.p50_us);
                let p99 = case.spread(side, |measured| measured.p99_us);
                let (Some(p50), Some(p99)) = (p50, p99) else { continue };
                let ratio = case.ratio(side).unwrap_or(f64::NAN);
                let name = format!("{side:?}");
                let (p50, p99) = (p50.text(0), p99.text(0));
                writeln!(f, "  {name:<9} p50 {p50:<24} p99 {p99:<26} {ratio:.2} of Triton's p50")?;
            }
            let ratio = case.ratio(Side::Sidecar).unwrap_or(f64::NAN);
            let verdict = verdict(ratio <= BAR);
            writeln!(f, "  {verdict}: the sidecar's p50 at most {BAR} of Triton's\n")?;
        }
        Ok(())
    }
}
