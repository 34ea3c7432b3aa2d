//! Tenants on their way from one data plane to another: what each kind of proxy is told at each
//! stage, so that no request falls between two tables.
//!
//! First the new data plane's nodes and sidecars learn of the tenant, while gateways send it where
//! it was. Once they have taken that, gateways send it to the new one. The old one forgets it last,
//! when requests that were on their way have ended. All else in a change holds at once: only what
//! says where the tenant is waits.

use std::{collections::BTreeMap, sync::Arc};

use policy_model::resolved::{Resolved, Tenant};
use tenancy::{DataPlaneId, TenantId};
use tokio::time::Instant;

/// The moves that are not over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moves {
    moving: BTreeMap<TenantId, Move>,
}

#[derive(Debug, Clone)]
struct Move {
    /// The tenant as it was before, with the data plane that it leaves.
    from: Tenant,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The new data plane learns of it; gateways send it to the old one.
    Prepare,
    /// Gateways are told to send it to the new one.
    Switch,
    /// The old one forgets it then.
    Drain(Instant),
}

impl Moves {
    /// Notes which tenants are elsewhere in `after` than in `before`, and which moves came to
    /// nothing.
    pub(crate) fn note(&mut self, before: &Resolved, after: &Resolved) {
        for (id, tenant) in &after.tenants {
            let Some(was) = before.tenants.get(id) else { continue };
            let under_way = self.moving.get(id);
            let routed = match under_way {
                Some(Move { from, stage: Stage::Prepare }) => from,
                _ => was,
            };
            if routed.data_plane == tenant.data_plane {
                if under_way.is_some_and(|it| it.stage == Stage::Prepare) {
                    self.moving.remove(id);
                }
                continue;
            }
            let from = routed.clone();
            self.moving.insert(id.clone(), Move { from, stage: Stage::Prepare });
        }
        self.moving.retain(|id, it| stays(id, it, after));
    }

    /// What gateways are told: tenants whose new data plane does not know them yet are where they
    /// were.
    pub(crate) fn for_gateways(&self, resolved: &Arc<Resolved>) -> Arc<Resolved> {
        self.with(resolved, |it| it.stage == Stage::Prepare)
    }

    /// What the nodes and sidecars of a data plane are told: tenants that leave it are still there.
    pub(crate) fn for_plane(&self, plane: &DataPlaneId, resolved: &Arc<Resolved>) -> Arc<Resolved> {
        self.with(resolved, |it| it.from.data_plane == *plane)
    }

    fn with(&self, resolved: &Arc<Resolved>, which: impl Fn(&Move) -> bool) -> Arc<Resolved> {
        let mut changed = Arc::clone(resolved);
        for (id, it) in self.moving.iter().filter(|(_, it)| which(it)) {
            Arc::make_mut(&mut changed).tenants.insert(id.clone(), it.from.clone());
        }
        changed
    }

    /// Who waits for which new data plane.
    pub(crate) fn preparing(&self, resolved: &Resolved) -> Vec<(TenantId, DataPlaneId)> {
        let preparing = self.moving.iter().filter(|(_, it)| it.stage == Stage::Prepare);
        let to = preparing.filter_map(|(id, _)| Some((id, &resolved.tenants.get(id)?.data_plane)));
        to.map(|(id, plane)| (id.clone(), plane.clone())).collect()
    }

    /// These were waited for: gateways send them to the new data plane from now on, unless they
    /// are to go elsewhere by now.
    pub(crate) fn switch(&mut self, prepared: &[(TenantId, DataPlaneId)], resolved: &Resolved) {
        for (id, plane) in prepared {
            let there = resolved.tenants.get(id).is_some_and(|it| it.data_plane == *plane);
            if let Some(it) = self.moving.get_mut(id).filter(|_| there) {
                it.stage = Stage::Switch;
            }
        }
    }

    /// Gateways have switched: what they sent before ends by then.
    pub(crate) fn drain(&mut self, until: Instant) {
        for it in self.moving.values_mut().filter(|it| it.stage == Stage::Switch) {
            it.stage = Stage::Drain(until);
        }
    }

    /// Forgets whoever has drained. True where that changes what a data plane is told.
    pub(crate) fn forget(&mut self, now: Instant) -> bool {
        let before = self.moving.len();
        self.moving.retain(|_, it| !matches!(it.stage, Stage::Drain(until) if until <= now));
        self.moving.len() != before
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.moving.is_empty()
    }

    /// When the next has drained.
    pub(crate) fn drained_at(&self) -> Option<Instant> {
        let until = self.moving.values().filter_map(|it| match it.stage {
            Stage::Drain(until) => Some(until),
            Stage::Prepare | Stage::Switch => None,
        });
        until.min()
    }
}

/// Whether a tenant may still be served where it was: never one that is gone, suspended, or whose
/// old data plane is gone or somebody else's.
fn stays(id: &TenantId, Move { from, .. }: &Move, resolved: &Resolved) -> bool {
    let welcome = resolved
        .data_planes
        .get(&from.data_plane)
        .is_some_and(|plane| plane.exclusive_to().is_none_or(|only| only == id));
    welcome && resolved.tenants.get(id).is_some_and(|tenant| !tenant.suspended)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use policy_model::{
        compile::compile,
        spec::{Resource, parse},
    };

    use super::*;

    /// The tenant at a data plane, with something else that changes.
    fn at(plane: &str, burst: u32, suspended: bool) -> Arc<Resolved> {
        let text = format!(
            "apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {{name: one}}
spec: {{region: eu-1, tiers: [pool], endpoints: []}}
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {{name: two}}
spec: {{region: eu-1, tiers: [pool], endpoints: []}}
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: {{name: three}}
spec: {{region: eu-1, tiers: [pool], endpoints: []}}
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {{name: org_a}}
spec: {{tier: pool, dataPlane: {plane}, suspended: {suspended}, rateLimit: {{requests: 9, burst: {burst}}}}}
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {{name: org_b}}
spec: {{tier: pool, dataPlane: one, rateLimit: {{requests: 9, burst: {burst}}}}}
"
        );
        let resources: Vec<Resource> = parse("test.yaml", &text).unwrap();
        Arc::new(compile(&resources).unwrap().resolved)
    }

    fn plane_of(resolved: &Resolved) -> &str {
        resolved.tenants.get("org_a").unwrap().data_plane.as_str()
    }

    fn burst_of(resolved: &Resolved, tenant: &str) -> u32 {
        resolved.tenants.get(tenant).unwrap().rate_limit.burst
    }

    fn plane(name: &str) -> DataPlaneId {
        name.parse().unwrap()
    }

    #[test]
    fn the_new_data_plane_knows_it_first_and_the_old_one_forgets_it_last() {
        let (before, after) = (at("one", 10, false), at("two", 20, false));
        let mut moves = Moves::default();
        moves.note(&before, &after);
        assert_eq!(plane_of(&moves.for_gateways(&after)), "one");
        assert_eq!(plane_of(&moves.for_plane(&plane("one"), &after)), "one");
        assert_eq!(plane_of(&moves.for_plane(&plane("two"), &after)), "two");
        // What does not move is changed at once.
        assert_eq!(burst_of(&moves.for_gateways(&after), "org_b"), 20);

        let prepared = moves.preparing(&after);
        assert_eq!(prepared, [("org_a".parse().unwrap(), plane("two"))]);
        moves.switch(&prepared, &after);
        assert_eq!(plane_of(&moves.for_gateways(&after)), "two");
        assert_eq!(plane_of(&moves.for_plane(&plane("one"), &after)), "one");

        let now = Instant::now();
        assert_eq!(moves.drained_at(), None);
        moves.drain(now + Duration::from_secs(30));
        assert!(!moves.forget(now));
        assert!(moves.forget(moves.drained_at().unwrap()));
        assert_eq!(plane_of(&moves.for_plane(&plane("one"), &after)), "two");
    }

    #[test]
    fn a_suspension_does_not_wait_for_a_move() {
        let (before, after) = (at("one", 10, false), at("two", 10, true));
        let mut moves = Moves::default();
        moves.note(&before, &after);
        assert!(moves.for_gateways(&after).tenants.get("org_a").unwrap().suspended);
        assert!(moves.preparing(&after).is_empty());
    }

    #[test]
    fn a_move_that_is_taken_back_before_the_switch_never_happened() {
        let (before, after) = (at("one", 10, false), at("two", 10, false));
        let mut moves = Moves::default();
        moves.note(&before, &after);
        let back = at("one", 30, false);
        moves.note(&after, &back);
        assert!(moves.preparing(&back).is_empty());
        assert_eq!(burst_of(&moves.for_gateways(&back), "org_a"), 30);
    }

    #[test]
    fn a_move_that_is_redirected_before_the_switch_stays_where_gateways_send_it() {
        let (before, after) = (at("one", 10, false), at("two", 10, false));
        let mut moves = Moves::default();
        moves.note(&before, &after);
        let prepared = moves.preparing(&after);
        let elsewhere = at("three", 10, false);
        moves.note(&after, &elsewhere);
        // It was another place that was waited for.
        moves.switch(&prepared, &elsewhere);
        assert_eq!(plane_of(&moves.for_gateways(&elsewhere)), "one");
        assert_eq!(moves.preparing(&elsewhere), [("org_a".parse().unwrap(), plane("three"))]);
    }
}
