//! What is asked of the ledger, and what it answers.

use jiff::Timestamp;
use serde::Serialize;
use tenancy::TenantId;

use super::{Granularity, Period};

/// Which usage is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// One tenant's, or every tenant's.
    pub tenant: Option<TenantId>,
    /// When. An hour counts where it starts within the period.
    pub period: Period,
    /// How long each record is to be.
    pub granularity: Granularity,
}

/// Usage summed over a period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UsageRecord {
    /// Whose.
    pub tenant: String,
    /// The start of the period, UTC.
    pub period_start: Timestamp,
    /// What was used.
    pub metric: String,
    /// The model that answered.
    pub model: String,
    /// The version of it.
    pub version: String,
    /// Where it was served.
    pub data_plane: String,
    /// The region of that data plane.
    pub region: String,
    /// How much, in the metric's unit.
    pub quantity: u64,
    /// In how many events.
    pub events: u64,
}

/// Whether the hourly sums are those of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// Events kept.
    pub raw_events: u64,
    /// The sum of their quantities.
    pub raw_quantity: u64,
    /// Events that the hourly records say they hold.
    pub aggregated_events: u64,
    /// The sum of the hourly records' quantities.
    pub aggregated_quantity: u64,
    /// Events in quarantine, of every tenant and time: they are in neither sum.
    pub quarantined: u64,
}

impl Reconciliation {
    /// Whether the two agree.
    pub const fn agrees(&self) -> bool {
        self.raw_events == self.aggregated_events && self.raw_quantity == self.aggregated_quantity
    }
}
