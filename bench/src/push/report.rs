//! What came of it, beside the bars.

use std::fmt;

use serde::Serialize;

use super::Memory;
use crate::{results::verdict, spread::Spread};

/// From a commit to the last worker's first request under it, at the 99th percentile.
const ENFORCED_BAR_MS: f64 = 50.0;

/// Memory after the first pushes, and how far it may go from there.
const SETTLED_AFTER: u32 = 1000;
const MEMORY_BAR: f64 = 0.05;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) tenants: u32,
    pub(super) commits: u32,
    /// From one request of a connection to its next, at least.
    pub(super) every_ms: u64,
    pub(super) connections_by_worker: Vec<u64>,
    pub(super) p99_from_commit_ms: f64,
    pub(super) p99_from_call_ms: f64,
    pub(super) from_commit_ms: Spread,
    pub(super) from_call_ms: Spread,
    pub(super) pushes: u32,
    /// How long all of them took, each waited for.
    pub(super) pushing_seconds: f64,
    pub(super) answered_under_pushes: u64,
    pub(super) memory: Vec<Memory>,
}

impl Report {
    /// What was resident once it had settled, and the furthest from that afterwards, as a share.
    fn drift(&self) -> Option<(u64, f64)> {
        let settled = self.memory.iter().find(|memory| memory.pushes >= SETTLED_AFTER)?;
        let base = settled.resident_kib as f64;
        let later = self.memory.iter().filter(|memory| memory.pushes > settled.pushes);
        let shares = later.map(|memory| (memory.resident_kib as f64 - base) / base);
        let furthest = shares.max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
        Some((settled.resident_kib, furthest))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{} tenants, {} commits, connections by worker: {:?}, each asks every {} ms; milliseconds, median (lower to upper quartile), greatest\n",
            self.tenants, self.commits, self.connections_by_worker, self.every_ms
        )?;
        for (what, p99, spread) in [
            ("commit to enforced", self.p99_from_commit_ms, &self.from_commit_ms),
            ("call to enforced", self.p99_from_call_ms, &self.from_call_ms),
        ] {
            writeln!(f, "{what:<20} {:<26} {:.1}; p99 {p99:.1}", spread.text(1), spread.max)?;
        }
        writeln!(
            f,
            "\n{} (at most {ENFORCED_BAR_MS} ms): commit to enforced on every worker, p99 {:.1} ms",
            verdict(self.p99_from_commit_ms <= ENFORCED_BAR_MS),
            self.p99_from_commit_ms
        )?;
        match self.drift() {
            Some((settled, furthest)) => writeln!(
                f,
                "{} (within {:.0} %): {} pushes under load in {:.0} s, {} requests, none failed; {settled} KiB resident after {SETTLED_AFTER}, furthest from it {:+.1} %",
                verdict(furthest.abs() <= MEMORY_BAR),
                MEMORY_BAR * 100.0,
                self.pushes,
                self.pushing_seconds,
                self.answered_under_pushes,
                furthest * 100.0
            ),
            None => writeln!(
                f,
                "not judged: {} pushes are too few to see what they leave behind",
                self.pushes
            ),
        }
    }
}
