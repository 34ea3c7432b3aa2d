//! The table of a replay, and whether all went well.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use devstack::stack::ProcessStatus;
use serde::Serialize;

use super::{
    metered::{Units, since},
    replay::{Outcome, Outcomes},
    tenants::Tenant,
};
use crate::table::Table;

/// What became of a replay.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    tenants: Vec<Row>,
    processes_that_died: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    tenant: String,
    tier: String,
    data_plane: String,
    model: String,
    versions: Vec<String>,
    requests: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    mape: Option<f64>,
    units_served: u64,
    units_metered: u64,
    refused: u64,
    failed: u64,
    first_failure: Option<String>,
}

impl Report {
    pub(super) fn new(
        tenants: &[Tenant],
        outcomes: &Outcomes,
        before: &Units,
        after: &Units,
        processes: &[ProcessStatus],
    ) -> Self {
        let row = |tenant: &Tenant| {
            let outcome = outcomes.get(&tenant.id).cloned().unwrap_or_default();
            Row::new(tenant, outcome, since(before, after, &tenant.id))
        };
        let died = processes.iter().filter(|it| it.pid.is_none() || it.restarts > 0);
        Self {
            tenants: tenants.iter().map(row).collect(),
            processes_that_died: died.map(|process| process.name.clone()).collect(),
        }
    }

    /// The table.
    pub(super) fn render(&self) -> String {
        let mut table = Table::new(&[
            "tenant",
            "tier",
            "data plane",
            "model",
            "version",
            "requests",
            "p50 ms",
            "p99 ms",
            "MAPE",
            "units served",
            "units metered",
            "refused",
            "failed",
        ]);
        for row in &self.tenants {
            table.row(row.cells());
        }
        table.render()
    }

    /// Writes it as JSON.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        fs::write(file, json + "\n").with_context(|| format!("could not write {}", file.display()))
    }

    /// Fails where a request failed, a served answer was not metered, more was metered than
    /// served, or a process died.
    pub(super) fn verdict(&self) -> Result<()> {
        let mut faults: Vec<String> = self.tenants.iter().filter_map(Row::fault).collect();
        faults.extend(self.processes_that_died.iter().map(|name| format!("{name} died")));
        if self.tenants.iter().all(|row| row.requests == 0) {
            faults.push("no request was sent".to_owned());
        }
        if faults.is_empty() {
            return Ok(());
        }
        bail!("the replay went wrong:\n{}", faults.join("\n"))
    }
}

impl Row {
    fn new(tenant: &Tenant, outcome: Outcome, units_metered: u64) -> Self {
        let requests = outcome.requests();
        let mape = (outcome.units > 0).then(|| outcome.relative_error / outcome.units as f64);
        let mut latencies = outcome.latencies;
        latencies.sort_unstable();
        Self {
            tenant: tenant.id.clone(),
            tier: tenant.tier.clone(),
            data_plane: tenant.data_plane.clone(),
            model: tenant.model.clone(),
            versions: outcome.versions,
            requests,
            p50_ms: quantile_ms(&latencies, 50),
            p99_ms: quantile_ms(&latencies, 99),
            mape,
            units_served: outcome.units,
            units_metered,
            refused: outcome.refused,
            failed: outcome.failed,
            first_failure: outcome.failure,
        }
    }

    fn cells(&self) -> [String; 13] {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        [
            self.tenant.clone(),
            self.tier.clone(),
            self.data_plane.clone(),
            self.model.clone(),
            self.versions.join(", "),
            self.requests.to_string(),
            number(self.p50_ms, 2),
            number(self.p99_ms, 2),
            number(self.mape, 4),
            self.units_served.to_string(),
            self.units_metered.to_string(),
            self.refused.to_string(),
            self.failed.to_string(),
        ]
    }

    fn fault(&self) -> Option<String> {
        let mut faults = Vec::new();
        if self.failed > 0 {
            let first = self.first_failure.as_deref().unwrap_or("no words");
            faults.push(format!("{} requests failed, the first: {first}", self.failed));
        }
        if self.units_metered != self.units_served {
            faults.push(format!(
                "{} units served, {} metered",
                self.units_served, self.units_metered
            ));
        }
        (!faults.is_empty()).then(|| format!("{}: {}", self.tenant, faults.join("; ")))
    }
}

/// The smallest latency that at least `percent` of them do not exceed, in milliseconds.
fn quantile_ms(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map(|latency| latency.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Tenant {
        Tenant {
            id: "org_a".to_owned(),
            carrier: "A".to_owned(),
            tier: "pool".to_owned(),
            data_plane: "shared".to_owned(),
            public_name: "air-time".to_owned(),
            model: "air-time-pooled".to_owned(),
            pace: Duration::ZERO,
        }
    }

    fn served() -> Outcome {
        let latencies = vec![Duration::from_millis(2)];
        Outcome { latencies, units: 5, relative_error: 0.5, ..Outcome::default() }
    }

    fn report(outcome: Outcome, metered: u64, processes: &[ProcessStatus]) -> Report {
        let outcomes = [("org_a".to_owned(), outcome)].into();
        let after = [("org_a".to_owned(), 100 + metered)].into();
        Report::new(&[tenant()], &outcomes, &[("org_a".to_owned(), 100)].into(), &after, processes)
    }

    #[test]
    fn a_replay_in_which_all_was_served_and_metered_went_well() {
        let report = report(served(), 5, &[]);
        assert!(report.verdict().is_ok());
        assert_eq!(report.tenants[0].mape, Some(0.1));
    }

    #[test]
    fn what_was_served_and_not_metered_or_metered_and_not_served_is_a_fault() {
        assert!(report(served(), 4, &[]).verdict().is_err());
        assert!(report(served(), 6, &[]).verdict().is_err());
    }

    #[test]
    fn a_failed_request_or_a_process_that_died_is_a_fault_and_a_refusal_is_not() {
        assert!(report(Outcome { refused: 3, ..served() }, 5, &[]).verdict().is_ok());
        assert!(report(Outcome { failed: 1, ..served() }, 5, &[]).verdict().is_err());
        let restarted = ProcessStatus { name: "sidecar".to_owned(), pid: Some(1), restarts: 1 };
        assert!(report(served(), 5, &[restarted]).verdict().is_err());
        let gone = ProcessStatus { name: "ingress".to_owned(), pid: None, restarts: 0 };
        assert!(report(served(), 5, &[gone]).verdict().is_err());
    }

    #[test]
    fn a_replay_that_sent_nothing_did_not_go_well() {
        assert!(report(Outcome::default(), 0, &[]).verdict().is_err());
    }

    #[test]
    fn a_quantile_is_a_latency_that_was_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(quantile_ms(&sorted, 50), Some(100.0));
        assert_eq!(quantile_ms(&sorted, 99), Some(198.0));
        assert_eq!(quantile_ms(&sorted[..1], 99), Some(1.0));
        assert_eq!(quantile_ms(&[], 99), None);
    }
}
