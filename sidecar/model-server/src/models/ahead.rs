//! Models that are loaded before anybody asks for them.

use std::{sync::Arc, time::Duration};

use tenancy::Tier;
use tokio::task::JoinSet;

use super::{Load, Models};
use crate::assignments::{Assigned, Assignments, Table};

/// How long a change of assignments waits for versions that replace others to be warm before the
/// control plane is told that it is in force. What stands in for them does so for as long as it takes;
/// a later change waits behind this one, and it may shut somebody out.
const SWAP_PATIENCE: Duration = Duration::from_secs(5);

/// How many models are loaded ahead for one change, beside those that are pinned: what is left is
/// loaded when it is asked for.
const MOST_AHEAD: usize = 64;

impl Models {
    /// Loads the versions that something stands in for, warms them and lets them answer. Waits for
    /// that for a while; it goes on where that is over.
    pub(crate) async fn swap(self: &Arc<Self>, assignments: &Arc<Assignments>) {
        let mut loads = JoinSet::new();
        for (tier, assigned, stand_in) in assignments.table().awaited() {
            let (models, assignments) = (Arc::clone(self), Arc::clone(assignments));
            loads.spawn(async move {
                // Where it cannot be had, requests are told so: what was replaced is not what they
                // are assigned.
                let loaded = models.get_as(tier, &assigned, Load::Ahead).await;
                assignments.end(&stand_in);
                let (model, version) = (&assigned.name, &assigned.version);
                match loaded {
                    Ok(_) => tracing::info!(tenant = %assigned.tenant, %model, %version, "a version is warm and answers"),
                    Err(refusal) => tracing::warn!(tenant = %assigned.tenant, %model, %version, code = refusal.problem.code(), "a version cannot be had"),
                }
            });
        }
        let all = async { while loads.join_next().await.is_some() {} };
        if tokio::time::timeout(SWAP_PATIENCE, all).await.is_err() {
            tracing::info!("versions that replace others are still on their way");
        }
        loads.detach_all();
    }

    /// Loads what is pinned, and of the rest as much as there is room for.
    pub(super) async fn load_ahead(&self, table: &Table) {
        let (mut pinned, mut others): (Vec<_>, Vec<_>) = (vec![], vec![]);
        for (_, given) in table.by_tenant() {
            let to = if given.memory.pinned { &mut pinned } else { &mut others };
            to.extend(given.defaults().map(|assigned| (given.tier, assigned)));
        }
        // The same ones on every node and after every change.
        others.sort_by(|(_, one), (_, other)| {
            (&one.tenant, &one.name).cmp(&(&other.tenant, &other.name))
        });
        for (tier, assigned) in pinned {
            self.load_one_ahead(tier, assigned).await;
        }
        for (tier, assigned) in others.into_iter().take(MOST_AHEAD) {
            if !self.has_room() {
                break;
            }
            self.load_one_ahead(tier, assigned).await;
        }
    }

    async fn load_one_ahead(&self, tier: Tier, assigned: &Arc<Assigned>) {
        if self.is_loaded(assigned) {
            return;
        }
        if let Err(refusal) = self.get_as(tier, assigned, Load::Ahead).await {
            tracing::debug!(tenant = %assigned.tenant, model = %assigned.name, code = refusal.problem.code(), "not loaded ahead");
        }
    }

    /// Whether a tenth of each kind of memory is free.
    fn has_room(&self) -> bool {
        let stats = self.cache.stats();
        let (held, budget) = (stats.held, stats.budget);
        held.mapped_bytes <= budget.mapped_bytes / 10 * 9
            && held.private_bytes <= budget.private_bytes / 10 * 9
    }
}
