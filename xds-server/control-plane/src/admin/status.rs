//! Who runs what.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::App;

/// The revision in force, how far each group of proxies has come with it, every proxy with its
/// last refusal in Envoy's words, and how the issuers' keys were come by.
pub(super) async fn status(State(app): State<App>) -> Json<Value> {
    let groups = app.publisher.groups();
    let progress: Vec<Value> = groups
        .iter()
        .filter_map(|group| {
            let progress = app.proxies.progress(group, &app.store.get(group)?);
            Some(json!({
                "group": group,
                "settled": progress.is_settled(),
                "accepted": progress.accepted,
                "refused": progress.refused,
                "waiting": progress.waiting,
            }))
        })
        .collect();
    Json(json!({
        "revision": app.publisher.revision(),
        "seq": app.registry.state().seq,
        "groups": progress,
        "proxies": app.proxies.list(),
        "issuers": *app.keys.status(),
    }))
}
