//! What was changed, by whom, when and why.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    App,
    extract::Query,
    problem::{Code, Problem},
    wire::{History, Journal, JournalEntry},
};

/// The most that is told at once.
const MOST: u64 = 1_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// How many at most.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u64,
    /// Only those before this journal entry.
    #[serde(default)]
    before: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JournalQuery {
    /// The first entry.
    #[serde(default)]
    from: u64,
    /// How many at most.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u64,
}

const fn page() -> u64 {
    100
}

fn at_most(limit: u64) -> Result<usize, Problem> {
    let fits = (1..=MOST).contains(&limit).then(|| usize::try_from(limit).ok()).flatten();
    fits.ok_or_else(|| {
        Problem::new(Code::Malformed, format!("expected a limit of 1 to {MOST}, found {limit}"))
    })
}

/// The change sets, newest first: what one apply, deletion or rollback did.
#[utoipa::path(
    get,
    path = "/v1/history",
    tag = "resources",
    params(HistoryQuery),
    responses((status = 200, description = "Change sets.", body = History)),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn history(
    State(app): State<App>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<History>, Problem> {
    let sets = app.registry.history(query.before, at_most(query.limit)?).await?;
    Ok(Json(History { revisions: sets.into_iter().map(Into::into).collect() }))
}

/// Everything that happened, oldest first, as it was written: for audits.
#[utoipa::path(
    get,
    path = "/v1/journal",
    tag = "resources",
    params(JournalQuery),
    responses((status = 200, description = "Entries of the journal.", body = Journal)),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn journal(
    State(app): State<App>,
    Query(query): Query<JournalQuery>,
) -> Result<Json<Journal>, Problem> {
    let entries = app.registry.journal(query.from, at_most(query.limit)?).await?;
    let entries = entries.into_iter().map(|entry| JournalEntry {
        seq: entry.seq,
        at: entry.at,
        actor: entry.actor,
        kind: entry.kind,
        payload: entry.payload,
        previous_hash: entry.previous_hash.to_string(),
        hash: entry.hash.to_string(),
    });
    Ok(Json(Journal { entries: entries.collect() }))
}
