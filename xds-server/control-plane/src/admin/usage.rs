//! Usage: events in, records out.

use axum::{Json, extract::State};
use registry::{Granularity, Period, UsageQuery, parse_period};
use serde::Deserialize;
use tenancy::TenantId;
use utoipa::IntoParams;

use super::{
    App,
    extract::{Body, Query},
    problem::{Code, Problem},
    wire::{Batch, Reconciled, Recorded, Usage},
};

/// Records a batch: once this is answered the events are durable, and an id that was seen before
/// counted once.
#[utoipa::path(
    post,
    path = "/v1/usage/events",
    tag = "nodes",
    operation_id = "record_usage",
    request_body = Batch,
    responses((status = 200, description = "They are durable.", body = Recorded)),
    extensions(("x-bulkhead-roles" = json!(["admin", "node"])))
)]
pub(super) async fn record(
    State(app): State<App>,
    Body(batch): Body<Batch>,
) -> Result<Json<Recorded>, Problem> {
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
    Ok(Json(Recorded {
        new: recorded.new,
        duplicates: recorded.duplicates,
        quarantined: recorded.quarantined,
    }))
}

/// Which usage.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Whose; everybody's where it is not said.
    #[param(value_type = Option<String>)]
    tenant: Option<TenantId>,
    /// When: `2026`, `2026-11`, `2026-11-21` or an hour, UTC.
    period: String,
    /// How long each record is: `hour`, `day` or `month`.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    granularity: Option<Granularity>,
}

impl Wanted {
    fn period(&self) -> Result<Period, Problem> {
        let parsed = parse_period(&self.period);
        parsed.map_err(|error| Problem::new(Code::Malformed, error.to_string()))
    }
}

/// Usage records of a period, all tenants' or one's.
#[utoipa::path(
    get,
    path = "/v1/usage",
    tag = "usage",
    params(Wanted),
    responses((status = 200, description = "What was used.", body = Usage)),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn usage(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Usage>, Problem> {
    let query = UsageQuery {
        period: wanted.period()?,
        tenant: wanted.tenant,
        granularity: wanted.granularity.unwrap_or(Granularity::Hour),
    };
    let records = app.ledger.usage(&query).await?;
    let total = records.iter().map(|record| record.quantity).sum();
    let events = records.iter().map(|record| record.events).sum();
    Ok(Json(Usage { records, total, events }))
}

/// Whether the raw events of a tenant and period add up to its records.
#[utoipa::path(
    get,
    path = "/v1/usage/reconcile",
    tag = "usage",
    params(Wanted),
    responses((status = 200, description = "What was found.", body = Reconciled)),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn reconcile(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Reconciled>, Problem> {
    let period = wanted.period()?;
    let found = app.ledger.reconcile(wanted.tenant.as_ref(), period).await?;
    let agrees = found.agrees();
    // A struct of numbers.
    let found = serde_json::to_value(found).unwrap_or_default();
    Ok(Json(Reconciled { agrees, found }))
}
