//! From the resolved set to rows: all of them but for the keys, which no resource holds.

use std::collections::BTreeMap;

use tenancy::{DataPlaneId, Tier};

use super::{
    CheckRow, DataPlaneRow, GateRows, Labels, NodeRows, NodeTenantRow, RateRow, SidecarRows,
    TenantRow, TierRow, rows::tier_index,
};
use crate::{
    resolved::{Check, CheckName, DataPlane, Resolved, Rule, Tenant},
    spec::Point,
};

impl GateRows {
    /// The gate's rows for `resolved`, without issuers and without the passport key. `cluster`
    /// says which of the ingress's clusters leads to a data plane.
    pub fn of(resolved: &Resolved, cluster: impl Fn(&DataPlaneId) -> String) -> Self {
        let checks = Numbered::at(resolved, Point::Gate);
        let tenants = resolved.tenants.values().map(|tenant| TenantRow {
            id: tenant.id.to_string(),
            tier: tier_index(tenant.tier),
            data_plane: tenant.data_plane.to_string(),
            cluster: cluster(&tenant.data_plane),
            interval_ns: tenant.rate_limit.interval_ns,
            burst: tenant.rate_limit.burst,
            suspended: tenant.suspended,
            labels: labels(&tenant.labels),
            checks: checks.of(tenant),
        });
        Self {
            tenants: tenants.collect(),
            tiers: tiers(resolved),
            data_planes: resolved.data_planes.values().map(data_plane).collect(),
            checks: checks.rows,
            ..Self::default()
        }
    }
}

impl NodeRows {
    /// The rows of the nodes of `data_plane`, without the passport keys.
    pub fn of(resolved: &Resolved, data_plane: &DataPlaneId) -> Self {
        let checks = Numbered::at(resolved, Point::Recheck);
        let here = resolved.tenants.values().filter(|tenant| tenant.data_plane == *data_plane);
        let tenants = here.map(|tenant| NodeTenantRow {
            id: tenant.id.to_string(),
            tier: tier_index(tenant.tier),
            labels: labels(&tenant.labels),
            checks: checks.of(tenant),
        });
        Self {
            data_plane: data_plane.to_string(),
            plane: resolved.data_planes.get(data_plane).map(self::data_plane),
            tiers: tiers(resolved),
            tenants: tenants.collect(),
            checks: checks.rows,
            ..Self::default()
        }
    }
}

impl SidecarRows {
    /// What `tenant`'s sidecars decide by; nothing where no check holds for it there.
    pub fn of(resolved: &Resolved, tenant: &Tenant) -> Option<Self> {
        let checks = resolved.checks_of(tenant, Point::Sidecar);
        let checks: Vec<CheckRow> = checks.map(|(check, rule)| row(check, rule)).collect();
        if checks.is_empty() {
            return None;
        }
        let plane = resolved.data_planes.get(&tenant.data_plane);
        Some(Self {
            labels: labels(&tenant.labels),
            tier: tier(resolved, tenant.tier),
            plane: plane.map(data_plane).unwrap_or_default(),
            checks,
        })
    }
}

/// The checks of one point, with their places.
struct Numbered<'a> {
    rows: Vec<CheckRow>,
    places: BTreeMap<&'a CheckName, u16>,
}

impl<'a> Numbered<'a> {
    /// There are at most as many as `compile` lets through, which a `u16` can count.
    fn at(resolved: &'a Resolved, point: Point) -> Self {
        let here = resolved
            .checks
            .values()
            .filter_map(|check| check.rules.get(&point).map(|rule| (check, rule)));
        let mut numbered = Self { rows: Vec::new(), places: BTreeMap::new() };
        for (place, (check, rule)) in (0..).zip(here) {
            numbered.places.insert(&check.name, place);
            numbered.rows.push(row(check, rule));
        }
        numbered
    }

    fn of(&self, tenant: &Tenant) -> Vec<u16> {
        tenant.checks.iter().filter_map(|name| self.places.get(name).copied()).collect()
    }
}

fn row(check: &Check, rule: &Rule) -> CheckRow {
    CheckRow {
        name: check.name.to_string(),
        shadow: check.is_shadow(),
        program: rule.program.clone(),
        status: check.denial.status,
        code: check.denial.code.clone(),
        message: rule.message.clone(),
    }
}

/// A row for each tier, whether a resource speaks of it or not.
fn tiers(resolved: &Resolved) -> Vec<TierRow> {
    Tier::ALL.into_iter().map(|of| tier(resolved, of)).collect()
}

fn tier(resolved: &Resolved, tier: Tier) -> TierRow {
    let said = resolved.tiers.get(&tier);
    TierRow {
        tier: tier_index(tier),
        labels: said.map(|said| labels(&said.labels)).unwrap_or_default(),
        rate: said.map(|said| RateRow {
            interval_ns: said.rate_limit.interval_ns,
            burst: said.rate_limit.burst,
        }),
    }
}

fn data_plane(plane: &DataPlane) -> DataPlaneRow {
    DataPlaneRow {
        id: plane.id.to_string(),
        region: plane.region.clone(),
        labels: labels(&plane.labels),
        exclusive_to: plane.exclusive_to().map(ToString::to_string),
    }
}

fn labels(labels: &BTreeMap<String, String>) -> Labels {
    labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
