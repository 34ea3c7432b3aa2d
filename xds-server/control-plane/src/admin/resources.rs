//! Resources and the journal.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use policy_model::{
    diagnostic::{Diagnostic, Diagnostics},
    spec::{Kind, Resource, parse},
};
use registry::{Applied, What};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{App, error::AdminError};

/// Who the journal says did it. There are no operator identities yet.
const OPERATOR: &str = "operator";

/// Files of resources, as `bulkhead apply -f` read them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyRequest {
    files: Vec<File>,
    /// The registry's entry that the caller last saw; a newer one makes the apply stale.
    #[serde(default)]
    expected_seq: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    text: String,
}

#[derive(Serialize)]
pub(super) struct ApplyResponse {
    revision: String,
    seq: u64,
    changes: Vec<String>,
    warnings: Vec<Diagnostic>,
}

/// Creates and changes resources, all or none.
pub(super) async fn apply(
    State(app): State<App>,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<ApplyResponse>, AdminError> {
    let resources = read(&request.files)?;
    let applied = app.registry.apply(OPERATOR, resources, request.expected_seq).await?;
    respond(&app, &applied)
}

/// Every file is read, so that the answer names the mistakes of all.
fn read(files: &[File]) -> Result<Vec<Resource>, Diagnostics> {
    let mut resources = Vec::new();
    let mut mistakes = Vec::new();
    for file in files {
        match parse(&file.name, &file.text) {
            Ok(read) => resources.extend(read),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() { Ok(resources) } else { Err(Diagnostics(mistakes)) }
}

fn respond(app: &App, applied: &Applied) -> Result<Json<ApplyResponse>, AdminError> {
    // Published here too, and not only by the follower, so that the answer tells the revision
    // that holds the change.
    let revision = app.publisher.publish().map_err(anyhow::Error::from)?;
    let changes = applied.changes.iter().filter(|change| change.what != What::Unchanged);
    Ok(Json(ApplyResponse {
        revision,
        seq: applied.seq,
        changes: changes.map(ToString::to_string).collect(),
        warnings: applied.warnings.clone(),
    }))
}

/// The resources in force.
pub(super) async fn list(State(app): State<App>) -> Json<Value> {
    let state = app.registry.state();
    let resources: Vec<Value> = state.resources.values().map(|r| r.to_json()).collect();
    Json(json!({"seq": state.seq, "resources": resources}))
}

/// Deletes a resource that nothing refers to.
pub(super) async fn remove(
    State(app): State<App>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<ApplyResponse>, AdminError> {
    let kind = Kind::ALL
        .iter()
        .find(|known| known.as_str() == kind)
        .ok_or_else(|| AdminError::NotFound(format!("there is no kind `{kind}`")))?;
    if app.registry.state().resource(*kind, &name).is_none() {
        return Err(AdminError::NotFound(format!("there is no {}/{name}", kind.as_str())));
    }
    let applied = app.registry.delete(OPERATOR, *kind, &name, None).await?;
    respond(&app, &applied)
}

#[derive(Deserialize)]
pub(super) struct JournalQuery {
    #[serde(default)]
    from: u64,
    #[serde(default = "page")]
    limit: usize,
}

const fn page() -> usize {
    100
}

/// What happened, from an entry on.
pub(super) async fn journal(
    State(app): State<App>,
    Query(query): Query<JournalQuery>,
) -> Result<Json<Value>, AdminError> {
    let entries = app.registry.journal(query.from, query.limit).await?;
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "seq": entry.seq,
                "at": entry.at,
                "actor": entry.actor,
                "kind": entry.kind,
                "payload": entry.payload,
                "hash": entry.hash,
            })
        })
        .collect();
    Ok(Json(json!({"entries": entries})))
}
