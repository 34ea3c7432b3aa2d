//! A usage event as a sidecar sends it, and what makes one unacceptable.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenancy::{DataPlaneId, Digest, ModelName, TenantId, Version};
use uuid::Uuid;

/// The largest quantity of one event that is believed.
const MAX_QUANTITY: u64 = 1_000_000_000;

/// How far a sidecar's clock may be ahead of this one.
const MAX_AHEAD_MICROS: i64 = 3_600 * 1_000_000;

/// 2020-01-01T00:00:00Z. Nothing was served before; a clock that says so was never set.
const EARLIEST_MICROS: i64 = 1_577_836_800 * 1_000_000;

/// The longest metric or region, in bytes.
const MAX_TEXT_BYTES: usize = 128;

/// One metered use, in the JSON form that sidecars send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// The request's id. An id is counted once.
    pub id: Uuid,
    /// Who used it.
    pub tenant: TenantId,
    /// What was used, for instance `prediction_rows`.
    pub metric: String,
    /// How much of it, in the metric's unit. At least 1.
    pub quantity: u64,
    /// The model that answered.
    pub model: ModelName,
    /// The version of it that answered.
    pub version: Version,
    /// Where it was served.
    pub data_plane: DataPlaneId,
    /// The region of that data plane.
    pub region: String,
    /// When it was served, in microseconds since 1970-01-01T00:00:00Z.
    pub timestamp: u64,
    /// How long the answer took, in microseconds.
    pub latency: u64,
}

/// An event that was not counted, kept for somebody to look at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quarantined {
    /// The SHA-256 of its JSON, by which a replay is recognised.
    pub digest: Digest,
    /// Why it was not counted.
    pub reason: String,
    /// The event as it came.
    pub event: Value,
    /// When it came first.
    pub received_at: Timestamp,
}

/// An event that may be counted, with its times as the database holds them.
#[derive(Debug)]
pub(crate) struct Countable {
    pub(crate) event: UsageEvent,
    pub(crate) quantity: i64,
    pub(crate) at_unix_micros: i64,
    pub(crate) latency_micros: i64,
    /// Whole hours since 1970-01-01T00:00:00Z.
    pub(crate) hour: i64,
}

pub(crate) const MICROS_PER_HOUR: i64 = 3_600 * 1_000_000;

/// Reads an event from outside.
pub(crate) fn read(json: &Value) -> Result<UsageEvent, String> {
    UsageEvent::deserialize(json).map_err(|error| format!("expected a usage event, found: {error}"))
}

/// Whether the event is believed.
pub(crate) fn check(event: UsageEvent, now: Timestamp) -> Result<Countable, String> {
    let quantity = match event.quantity {
        1..=MAX_QUANTITY => i64::try_from(event.quantity).map_err(|error| error.to_string())?,
        found => {
            return Err(format!("expected a quantity of 1 to {MAX_QUANTITY}, found {found}"));
        }
    };
    for (field, text) in [("metric", &event.metric), ("region", &event.region)] {
        if text.is_empty() || text.len() > MAX_TEXT_BYTES {
            return Err(format!(
                "expected a {field} of 1 to {MAX_TEXT_BYTES} bytes, found {}",
                text.len()
            ));
        }
    }
    let latest = now.as_microsecond().saturating_add(MAX_AHEAD_MICROS);
    let at_unix_micros = i64::try_from(event.timestamp)
        .ok()
        .filter(|at| (EARLIEST_MICROS..=latest).contains(at))
        .ok_or_else(|| {
            format!(
                "expected a timestamp from 2020 to an hour ahead of {now}, in microseconds, found {}; check the node's clock",
                event.timestamp
            )
        })?;
    Ok(Countable {
        quantity,
        at_unix_micros,
        latency_micros: i64::try_from(event.latency).unwrap_or(i64::MAX),
        hour: at_unix_micros.div_euclid(MICROS_PER_HOUR),
        event,
    })
}
