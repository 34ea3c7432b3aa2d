//! What was metered, against what was served.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Result;
use jiff::{Timestamp, tz::TimeZone};

use super::replay::Outcomes;
use crate::server::Server;

/// The metric of predictions: one unit is one row predicted.
const METRIC: &str = "prediction_rows";

/// Sidecars ship what they metered within a second or so.
const PATIENCE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(200);

/// Units by tenant.
pub(super) type Units = BTreeMap<String, u64>;

/// The month in which the replay starts, and the one in which it ends.
#[derive(Debug)]
pub(super) struct Period {
    start: Timestamp,
}

impl Period {
    pub(super) fn starting_now() -> Self {
        Self { start: Timestamp::now() }
    }

    /// What was metered so far.
    pub(super) async fn units(&self, server: &Server) -> Result<Units> {
        let months = [self.start, Timestamp::now()]
            .map(|at| at.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string());
        let mut units = Units::new();
        for month in BTreeSet::from(months) {
            for record in server.usage(None, &month, "month").await?.records {
                if record.metric == METRIC {
                    *units.entry(record.tenant).or_default() += record.quantity;
                }
            }
        }
        Ok(units)
    }
}

/// Waits until what was served is metered, but no longer than sidecars may take to ship it, and
/// returns what was metered then.
pub(super) async fn once_drained(
    server: &Server,
    period: &Period,
    before: &Units,
    served: &Outcomes,
) -> Result<Units> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = period.units(server).await?;
        let is_metered = |(tenant, outcome): (&String, &super::replay::Outcome)| {
            since(before, &now, tenant) >= outcome.units
        };
        if served.iter().all(is_metered) || Instant::now() >= deadline {
            return Ok(now);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What was metered for a tenant in between.
pub(super) fn since(before: &Units, now: &Units, tenant: &str) -> u64 {
    let at = |units: &Units| units.get(tenant).copied().unwrap_or(0);
    at(now).saturating_sub(at(before))
}
