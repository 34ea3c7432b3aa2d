//! Takes updates from the control plane.

use std::sync::Arc;

use xds::client::{Update, Updates};

use super::{Assignments, Resources, Table};
use crate::models::Models;

/// Takes updates into use until the client's task has died, which it does only with the runtime.
///
/// A refused update changes nothing: the tables before it stay in force, and the control plane is
/// told why.
pub(crate) async fn follow(
    assignments: Arc<Assignments>,
    mut resources: Resources,
    mut updates: Updates,
    models: Arc<Models>,
) {
    while let Some((update, responder)) = updates.next().await {
        match next(&assignments, &resources, &update) {
            Ok((mut table, held)) => {
                table.stand_in(&assignments.table(), |assigned| models.is_loaded(assigned));
                tracing::info!(
                    type_url = update.type_url,
                    version = update.version,
                    changed = update.upserts.len(),
                    removed = update.removed.len(),
                    tenants = table.tenants(),
                    "assignments taken into use"
                );
                assignments.put_in_force(table);
                let changed = held != resources;
                resources = held;
                if changed {
                    save(&assignments, resources.clone()).await;
                }
                // Whoever waits for the answer wants the new versions to be what answers.
                models.swap(&assignments).await;
                responder.ack();
            }
            Err(reason) => {
                tracing::error!(
                    type_url = update.type_url,
                    version = update.version,
                    reason,
                    "assignments refused; those before stay in force"
                );
                responder.nack(reason);
            }
        }
    }
    tracing::error!("assignments are no longer followed");
}

fn next(
    assignments: &Assignments,
    resources: &Resources,
    update: &Update,
) -> Result<(Table, Resources), String> {
    let (mut table, mut held) = (assignments.table().copy(), resources.clone());
    table.hear(&update.type_url);
    for name in &update.removed {
        table.remove(&update.type_url, name);
        held.remove(&update.type_url, name);
    }
    for upsert in &update.upserts {
        table
            .upsert(&update.type_url, &upsert.name, &upsert.value, &assignments.data_plane)
            .map_err(|error| error.to_string())?;
        held.put(&update.type_url, upsert.clone());
    }
    Ok((table, held))
}

/// What cannot be saved is served all the same: a full disk must not hold up a revocation.
async fn save(assignments: &Arc<Assignments>, resources: Resources) {
    let saving = Arc::clone(assignments);
    let saved =
        tokio::task::spawn_blocking(move || saving.file.save(&resources, &saving.data_plane)).await;
    match saved {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(
            %error, "assignments are in force and not saved: a restart without the control plane \
             would go back behind them"
        ),
        Err(error) => tracing::error!(%error, "assignments are in force and not saved"),
    }
}
