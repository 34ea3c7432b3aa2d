//! Checks reach the tenants that they hold for, in the tables of their points, in their order.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use policy_model::{
    assignment::TenantAssignment,
    compile::compile,
    resolved::Resolved,
    spec::{Point, parse},
    table::{CheckRow, GateRows, GateTable, NodeRows, NodeTable, SidecarTable, TableError},
};
use proptest::{prelude::*, sample::Index};
use tenancy::{TenantId, Tier};

const FLEET: &str = "
apiVersion: bulkhead.dev/v1
kind: Tier
metadata: { name: pool, labels: { level: low } }
spec: { rateLimit: { requests: 100, burst: 200 } }
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: shared, labels: { rack: a1 } }
spec: { region: eu, tiers: [pool, bridge], endpoints: [] }
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: silo-dl }
spec: { region: us, tiers: [silo], exclusiveTo: org_dl, endpoints: [] }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_ua, labels: { regulated: 'true', contract: c1 } }
spec: { tier: pool, dataPlane: shared }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_b6, labels: { regulated: 'false' } }
spec: { tier: bridge, dataPlane: shared, rateLimit: { requests: 1, burst: 1 } }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_dl, labels: { regulated: 'true' } }
spec: { tier: silo, dataPlane: silo-dl, rateLimit: { requests: 1, burst: 1 } }
";

fn check(name: &str, points: &str, selector: &str) -> String {
    format!(
        "---\napiVersion: bulkhead.dev/v1\nkind: Check\nmetadata: {{ name: {name} }}\nspec:\n  description: d\n  points: [{points}]\n  selector: {{ {selector} }}\n  expression: tenant.id != ''\n  denial: {{ status: 418, code: c_{}, message: m }}\n",
        name.replace('-', "_")
    )
}

fn fleet(checks: &[String]) -> Resolved {
    let yaml = [FLEET.to_owned()].into_iter().chain(checks.iter().cloned()).collect::<String>();
    compile(&parse("fleet.yaml", &yaml).unwrap()).unwrap().resolved
}

fn id(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn gate(resolved: &Resolved) -> GateTable {
    let rows = GateRows::of(resolved, |plane| format!("plane/{plane}"));
    GateTable::decode(&rows.encode().unwrap()).unwrap()
}

fn names(table: &GateTable, tenant: &str) -> Vec<String> {
    let tenant = table.tenant(&id(tenant)).unwrap();
    table.checks_of(tenant).map(|check| check.name.to_string()).collect()
}

#[test]
fn a_check_holds_for_the_tenants_that_fit_all_that_its_selector_says() {
    let table = gate(&fleet(&[
        check("a-everyone", "gate", ""),
        check("b-tiers", "gate", "tiers: [pool, silo]"),
        check("c-tenants", "gate", "tenants: [org_b6]"),
        check("d-planes", "gate", "dataPlanes: [shared]"),
        check("e-labels", "gate", "labels: { regulated: 'true' }"),
        check("f-both", "gate", "labels: { regulated: 'true' }, dataPlanes: [shared]"),
        check("g-two-labels", "gate", "labels: { regulated: 'true', contract: c1 }"),
    ]));
    assert_eq!(
        names(&table, "org_ua"),
        ["a-everyone", "b-tiers", "d-planes", "e-labels", "f-both", "g-two-labels"]
    );
    assert_eq!(names(&table, "org_b6"), ["a-everyone", "c-tenants", "d-planes"]);
    assert_eq!(names(&table, "org_dl"), ["a-everyone", "b-tiers", "e-labels"]);
}

#[test]
fn a_check_is_in_the_tables_of_its_points_and_in_no_other() {
    let resolved = fleet(&[
        check("everywhere", "promotion, sidecar, recheck, gate", ""),
        check("at-the-gate", "gate", ""),
        check("at-the-node", "recheck, sidecar", ""),
    ]);
    assert_eq!(names(&gate(&resolved), "org_ua"), ["at-the-gate", "everywhere"]);
    let shared = "shared".parse().unwrap();
    let node = NodeRows::of(&resolved, &shared).encode().unwrap();
    let node = NodeTable::decode(&node).unwrap();
    assert!(node.tenant(&id("org_dl")).is_none(), "it is of another data plane");
    let ua = node.tenant(&id("org_ua")).unwrap();
    let found: Vec<_> = node.checks_of(ua).map(|check| check.name.as_str()).collect();
    assert_eq!(found, ["at-the-node", "everywhere"]);
    let tenant = &resolved.tenants[&id("org_ua")];
    let assignment = TenantAssignment::of(&resolved, tenant).unwrap();
    let table = SidecarTable::decode(&assignment.checks).unwrap();
    let found: Vec<_> = table.checks().iter().map(|check| check.name.as_str()).collect();
    assert_eq!(found, ["at-the-node", "everywhere"]);
    assert_eq!(resolved.checks_of(tenant, Point::Promotion).count(), 1);
}

#[test]
fn a_tenant_without_checks_at_the_sidecar_is_assigned_no_table() {
    let resolved = fleet(&[check("at-the-gate", "gate", "")]);
    let assignment = TenantAssignment::of(&resolved, &resolved.tenants[&id("org_ua")]).unwrap();
    assert!(assignment.checks.is_empty());
}

#[test]
fn what_variables_are_read_from_is_in_the_tables() {
    let resolved = fleet(&[check("at-the-node", "recheck, sidecar", "")]);
    let table = gate(&resolved);
    let pool = table.tier(Tier::Pool).unwrap();
    assert_eq!(pool.labels[0].1.as_str(), "low");
    assert!((pool.rate.as_ref().unwrap().requests_per_second() - 100.0).abs() < 1e-9);
    assert!(table.tier(Tier::Silo).unwrap().rate.is_none(), "no resource speaks of it");
    let plane = table.data_plane("silo-dl").unwrap();
    assert_eq!(plane.exclusive_to.as_ref().unwrap().as_str(), "org_dl");
    assert_eq!(plane.region.as_str(), "us");
    assert!(table.data_plane("silo-d").is_none());
    let labels = &table.tenant(&id("org_ua")).unwrap().labels;
    assert_eq!(labels.iter().map(|l| l.0.as_str()).collect::<Vec<_>>(), ["contract", "regulated"]);
    let node = NodeRows::of(&resolved, &"shared".parse().unwrap()).encode().unwrap();
    let node = NodeTable::decode(&node).unwrap();
    assert_eq!(node.plane().unwrap().labels[0].0.as_str(), "rack");
    let nowhere = NodeRows::of(&resolved, &"nowhere".parse().unwrap()).encode().unwrap();
    assert!(NodeTable::decode(&nowhere).unwrap().plane().is_none());
}

/// A check that a tenant names and nobody finds must not be a check that is skipped.
#[test]
fn a_table_whose_tenants_name_a_check_that_is_not_there_is_refused() {
    let resolved = fleet(&[check("only", "gate", "")]);
    let mut rows = GateRows::of(&resolved, |plane| plane.to_string());
    rows.tenants[0].checks.push(1);
    assert_eq!(rows.encode(), Err(TableError::UnknownCheck { place: 1, checks: 1 }));
}

proptest! {
    #[test]
    fn checks_in_any_order_are_the_same_bytes(swaps in prop::collection::vec((any::<Index>(), any::<Index>()), 0..12)) {
        let resolved = fleet(&["c", "a", "d", "b"].map(|name| check(name, "gate", "")));
        let rows = GateRows::of(&resolved, |plane| plane.to_string());
        let mut mixed = rows.clone();
        // The rows change places, and each tenant goes on naming the same ones.
        for (one, other) in swaps {
            let (one, other) = (one.index(4), other.index(4));
            mixed.checks.swap(one, other);
            for place in mixed.tenants.iter_mut().flat_map(|tenant| &mut tenant.checks) {
                let at = usize::from(*place);
                let now = if at == one { other } else if at == other { one } else { at };
                *place = u16::try_from(now).unwrap();
            }
        }
        prop_assert_eq!(mixed.encode().unwrap(), rows.encode().unwrap());
    }

    #[test]
    fn no_bytes_panic_a_sidecar(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = SidecarTable::decode(&bytes);
        let digest = tenancy::Digest::of(&bytes);
        let _ = SidecarTable::decode(&[b"BHTABLE2side".as_slice(), digest.as_bytes(), &bytes].concat());
    }

    #[test]
    fn a_flipped_bit_never_decodes_at_a_sidecar(at in any::<Index>(), bit in 0_u8..8) {
        let resolved = fleet(&[check("at-the-node", "sidecar", "")]);
        let tenant = &resolved.tenants[&id("org_ua")];
        let mut bytes = TenantAssignment::of(&resolved, tenant).unwrap().checks;
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(SidecarTable::decode(&bytes).is_err());
    }
}

/// The rows are what the filters' own tests are built from.
#[test]
fn a_check_row_is_read_as_it_was_written() {
    let resolved = fleet(&[check("only", "gate", "")]);
    let rows = GateRows::of(&resolved, |plane| plane.to_string());
    let [CheckRow { name, status, code, shadow, .. }] = rows.checks.as_slice() else { return };
    assert_eq!((name.as_str(), *status, code.as_str(), *shadow), ("only", 418, "c_only", false));
    let table = GateTable::decode(&rows.encode().unwrap()).unwrap();
    let [row] = table.checks() else { return };
    assert_eq!((row.name.as_str(), row.status.to_native()), ("only", 418));
    assert!(!table.observe().response_headers);
}
