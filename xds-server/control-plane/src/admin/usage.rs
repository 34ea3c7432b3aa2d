//! Usage: events in, records out.

use axum::{
    Json,
    extract::{Query, State},
};
use registry::{Granularity, Period, UsageQuery, parse_period};
use serde::Deserialize;
use serde_json::{Value, json};
use tenancy::TenantId;

use super::{App, error::AdminError};

/// A batch of events from a sidecar.
#[derive(Deserialize)]
pub(super) struct Batch {
    events: Vec<Value>,
}

/// Records a batch: once this is answered the events are durable, and an id that was seen before
/// counted once.
pub(super) async fn record(
    State(app): State<App>,
    Json(batch): Json<Batch>,
) -> Result<Json<Value>, AdminError> {
    let recorded = app.ledger.record_json(&batch.events).await?;
    if recorded.quarantined > 0 {
        let newest = app.ledger.quarantine(1).await?;
        let reason = newest.first().map_or("", |event| event.reason.as_str());
        tracing::error!(
            events = recorded.quarantined,
            reason,
            "usage events are kept but not billed: they cannot be believed"
        );
    }
    Ok(Json(json!({
        "new": recorded.new,
        "duplicates": recorded.duplicates,
        "quarantined": recorded.quarantined,
    })))
}

/// Which usage.
#[derive(Deserialize)]
pub(super) struct Wanted {
    tenant: Option<TenantId>,
    period: String,
    #[serde(default)]
    granularity: Option<Granularity>,
}

impl Wanted {
    fn period(&self) -> Result<Period, AdminError> {
        parse_period(&self.period).map_err(|error| AdminError::BadRequest(error.to_string()))
    }
}

/// Usage records of a period, all tenants' or one's.
pub(super) async fn usage(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, AdminError> {
    let query = UsageQuery {
        period: wanted.period()?,
        tenant: wanted.tenant,
        granularity: wanted.granularity.unwrap_or(Granularity::Hour),
    };
    let records = app.ledger.usage(&query).await?;
    let total: u64 = records.iter().map(|record| record.quantity).sum();
    let events: u64 = records.iter().map(|record| record.events).sum();
    Ok(Json(json!({"records": records, "total": total, "events": events})))
}

/// Whether the raw events of a tenant and period add up to its records.
pub(super) async fn reconcile(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, AdminError> {
    let period = wanted.period()?;
    let found = app.ledger.reconcile(wanted.tenant.as_ref(), period).await?;
    Ok(Json(json!({"agrees": found.agrees(), "found": found})))
}
