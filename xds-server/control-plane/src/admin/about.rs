//! Whether it is there.

/// Whether the control plane answers.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "about",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")),
    extensions(("x-bulkhead-roles" = json!(["anyone"])))
)]
pub(super) async fn healthz() -> &'static str {
    "ok"
}
