//! Who may use the interface.

use axum::{Extension, Json, extract::State};

use super::{
    App,
    guard::Caller,
    wire::{Operators, Whoami},
};

/// Who the caller's token says they are.
#[utoipa::path(
    get,
    path = "/v1/whoami",
    tag = "about",
    responses((status = 200, description = "The caller.", body = Whoami)),
    extensions(("x-bulkhead-roles" = json!(["viewer", "editor", "admin", "node"])))
)]
pub(super) async fn whoami(Extension(caller): Extension<Caller>) -> Json<Whoami> {
    Json(Whoami { name: caller.name, role: caller.role })
}

/// Who the operators are. Their tokens' digests are not told.
#[utoipa::path(
    get,
    path = "/v1/operators",
    tag = "operators",
    operation_id = "operators",
    responses((status = 200, description = "Everybody in force now.", body = Operators)),
    extensions(("x-bulkhead-roles" = json!(["admin"])))
)]
pub(super) async fn list(State(app): State<App>) -> Json<Operators> {
    let (operators, refusal) = app.roster.as_ref().map(|it| it.list()).unwrap_or_default();
    let whoami = |it: crate::operators::Operator| Whoami { name: it.name, role: it.role };
    Json(Operators {
        configured: app.roster.is_some(),
        operators: operators.into_iter().map(whoami).collect(),
        refusal,
    })
}
