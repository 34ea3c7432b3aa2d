//! Resources: reading, changing, comparing and going back.

use axum::{Extension, Json, extract::State};
use policy_model::{
    diagnostic::Diagnostics,
    spec::{Kind, Resource, parse},
};
use registry::Edit;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{
    App,
    change::{Asked, make, preview},
    extract::{Body, Path, Query},
    guard::Caller,
    problem::{Code, Problem, ProblemBody},
    wire::{ApplyRequest, Changed, DiffRequest, File, Resources, RollbackRequest, Target},
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// A journal entry: what held right after it. The newest where it is not said.
    #[serde(default)]
    seq: Option<u64>,
}

/// The resources that hold, or that held at a journal entry.
#[utoipa::path(
    get,
    path = "/v1/resources",
    tag = "resources",
    operation_id = "resources",
    params(ListQuery),
    responses(
        (status = 200, description = "Every resource.", body = Resources),
        (status = 404, description = "`not_found`: the journal has no such entry.", content_type = "application/problem+json", body = ProblemBody),
        (status = 422, description = "`outdated_revision`: this release cannot read it.", content_type = "application/problem+json", body = ProblemBody),
    ),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Resources>, Problem> {
    let now = app.registry.state();
    let (seq, found) = match query.seq {
        None => (now.seq, now),
        Some(seq) => {
            let state = app.registry.state_at(seq).await?;
            (state.seq, state.into())
        }
    };
    let resources: Vec<Value> = found.resources.values().map(|it| it.to_json()).collect();
    Ok(Json(Resources { seq, resources }))
}

/// Creates, changes and, with `prune`, deletes resources: all or none.
#[utoipa::path(
    post,
    path = "/v1/resources",
    tag = "resources",
    request_body = ApplyRequest,
    responses(
        (status = 200, description = "It is committed and pushed; of a dry run, what would be.", body = Changed),
        (status = 409, description = "Nothing was written. `stale_change`: `diff` says what changed meanwhile. `canary_refused`: `refusals` says who refused what; all have again what they had. `canary_unanswered`, `canary_nobody`: `proxies` says who. `canary_running`: another change is being tried.", content_type = "application/problem+json", body = ProblemBody),
        (status = 422, description = "Nothing was written. `invalid_resources`: `diagnostics` says every mistake with its place. `table_refused`: too much for a proxy.", content_type = "application/problem+json", body = ProblemBody),
    ),
    extensions(("x-bulkhead-roles" = json!(["editor", "admin"])))
)]
pub(super) async fn apply(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<ApplyRequest>,
) -> Result<Json<Changed>, Problem> {
    let ApplyRequest { files, expected_seq, message, prune, dry_run, canary } = request;
    let edit = Edit::Apply { resources: read(&files)?, prune };
    let asked = Asked::new(edit, expected_seq, message, canary)?;
    if dry_run {
        return preview(&app, &asked).await.map(Json);
    }
    make(app, caller, asked).await.map(Json)
}

/// What an apply would do, and to whom. Writes nothing.
#[utoipa::path(
    post,
    path = "/v1/diff",
    tag = "resources",
    request_body = DiffRequest,
    responses(
        (status = 200, description = "What would change.", body = Changed),
        (status = 422, description = "`invalid_resources`: `diagnostics` says every mistake with its place. `table_refused`: too much for a proxy.", content_type = "application/problem+json", body = ProblemBody),
    ),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin"])))
)]
pub(super) async fn diff(
    State(app): State<App>,
    Body(request): Body<DiffRequest>,
) -> Result<Json<Changed>, Problem> {
    let edit = Edit::Apply { resources: read(&request.files)?, prune: request.prune };
    preview(&app, &Asked::new(edit, None, None, None)?).await.map(Json)
}

/// Lets the resources of an earlier time hold again, as a change of its own.
#[utoipa::path(
    post,
    path = "/v1/rollback",
    tag = "resources",
    request_body = RollbackRequest,
    responses(
        (status = 200, description = "It is committed and pushed; of a dry run, what would be.", body = Changed),
        (status = 404, description = "`not_found`: the journal has no such entry or revision.", content_type = "application/problem+json", body = ProblemBody),
        (status = 409, description = "As for an apply.", content_type = "application/problem+json", body = ProblemBody),
        (status = 422, description = "`outdated_revision`: `diagnostics` says what does not compile by today's rules. `table_refused`: too much for a proxy.", content_type = "application/problem+json", body = ProblemBody),
    ),
    extensions(("x-bulkhead-roles" = json!(["editor", "admin"])))
)]
pub(super) async fn rollback(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<RollbackRequest>,
) -> Result<Json<Changed>, Problem> {
    let RollbackRequest { to, expected_seq, message, dry_run, canary } = request;
    let to_seq = match to {
        Target::Seq(seq) => seq,
        Target::Revision(revision) => app.registry.entry_of_revision(&revision).await?,
    };
    let asked = Asked::new(Edit::Rollback { to_seq }, expected_seq, message, canary)?;
    if dry_run {
        return preview(&app, &asked).await.map(Json);
    }
    make(app, caller, asked).await.map(Json)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RemoveQuery {
    /// A journal entry that the caller has seen: where something was changed after it, nothing is
    /// written (409 `stale_change`).
    #[serde(default)]
    expected_seq: Option<u64>,
    /// Why, for the history: at most 1024 bytes.
    #[serde(default)]
    message: Option<String>,
}

/// Deletes a resource that nothing refers to.
#[utoipa::path(
    delete,
    path = "/v1/resources/{kind}/{name}",
    tag = "resources",
    operation_id = "delete",
    params(
        ("kind" = String, Path, description = "As in YAML, for instance `Tenant`."),
        ("name" = String, Path, description = "Its name."),
        RemoveQuery,
    ),
    responses(
        (status = 200, description = "It is gone.", body = Changed),
        (status = 404, description = "`not_found`: there is none.", content_type = "application/problem+json", body = ProblemBody),
        (status = 409, description = "`stale_change`, `canary_running`: as for an apply.", content_type = "application/problem+json", body = ProblemBody),
        (status = 422, description = "`invalid_resources`: something refers to it.", content_type = "application/problem+json", body = ProblemBody),
    ),
    extensions(("x-bulkhead-roles" = json!(["editor", "admin"])))
)]
pub(super) async fn remove(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((kind, name)): Path<(String, String)>,
    Query(query): Query<RemoveQuery>,
) -> Result<Json<Changed>, Problem> {
    let known = Kind::ALL.iter().find(|known| known.as_str() == kind);
    let kind = *known.ok_or_else(|| {
        let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        Problem::new(Code::NotFound, format!("there is no kind `{kind}`, but {}", kinds.join(", ")))
    })?;
    let edit = Edit::Delete { kind, name };
    make(app, caller, Asked::new(edit, query.expected_seq, query.message, None)?).await.map(Json)
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
