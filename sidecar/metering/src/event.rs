//! What is metered: one event for one answered prediction.

use serde::{Deserialize, Serialize};
use tenancy::{DataPlaneId, ModelName, TenantId, Version};
use uuid::Uuid;

/// One metered use. Its JSON form is what the log holds and what the receiver is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// The request's id, a UUIDv7 made at the edge, so that a request retried after a crash is
    /// the same event. Whoever aggregates counts an id once.
    pub id: Uuid,
    /// Who used it.
    pub tenant: TenantId,
    /// What was used, for instance [`UsageEvent::PREDICTION_ROWS`].
    pub metric: String,
    /// How much of it, in the metric's unit.
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

impl UsageEvent {
    /// The metric of predictions, counted in rows of the batch dimension.
    pub const PREDICTION_ROWS: &'static str = "prediction_rows";
}
