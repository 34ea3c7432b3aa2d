//! Which crate may know which.

use std::collections::BTreeSet;

use crate::workspace::{PACKAGES, Package};

/// Each crate, and those of ours that it may depend on: what it ships, its tests not counted.
/// A crate that is not here may not be in the workspace; one that is here may know nobody else.
///
/// In one line: { tenancy <- passport, expression } <- policy-model <- { filters, xds-server, sidecar } <- cli.
const MAY_KNOW: &[(&str, &[&str])] = &[
    // policies: what isolation means.
    ("tenancy", &[]),
    ("passport", &["tenancy"]),
    ("expression", &[]),
    ("policy-model", &["tenancy", "passport", "expression"]),
    ("catalog", &["tenancy", "policy-model"]),
    // filters: what Envoy runs. The host that tests them knows nothing of ours.
    ("filter-core", &["tenancy", "passport", "expression", "policy-model"]),
    ("shell", &["filter-core"]),
    ("gate", &["filter-core", "shell"]),
    ("recheck", &["filter-core", "shell"]),
    // What scenarios are played over: the filters, and of the sidecar what it decides.
    (
        "scenario",
        &[
            "tenancy",
            "passport",
            "policy-model",
            "catalog",
            "filter-core",
            "wasm-host",
            "model-server",
        ],
    ),
    ("wasm-host", &[]),
    // xds-server: the control plane. The transport carries what it does not understand.
    ("xds", &[]),
    ("relay", &["tenancy", "xds"]),
    ("identity", &["tenancy", "policy-model"]),
    ("registry", &["tenancy", "policy-model"]),
    (
        "control-plane",
        &["tenancy", "passport", "policy-model", "catalog", "identity", "registry", "xds"],
    ),
    // sidecar: the data plane. Each knows those above it; the control plane only by its protocol.
    ("artifact", &["tenancy"]),
    ("kernels", &[]),
    ("inference", &["tenancy", "artifact", "kernels"]),
    ("shaders", &["kernels", "inference"]),
    ("gpu", &["tenancy", "artifact", "kernels", "inference", "shaders"]),
    ("metering", &["tenancy"]),
    ("scheduler", &["tenancy", "artifact", "inference"]),
    (
        "model-server",
        &[
            "tenancy",
            "passport",
            "expression",
            "policy-model",
            "artifact",
            "inference",
            "gpu",
            "metering",
            "scheduler",
            "xds",
        ],
    ),
    // What starts and drives it.
    ("devstack", &["tenancy", "policy-model"]),
    (
        "cli",
        &[
            "tenancy",
            "passport",
            "policy-model",
            "catalog",
            "filter-core",
            "scenario",
            "control-plane",
            "relay",
            "artifact",
            "inference",
            "gpu",
            "model-server",
            "metering",
            "xds",
            "devstack",
        ],
    ),
    ("xtask", &[]),
];

/// These may know everybody, and nobody may know them.
const MAY_KNOW_ALL: &[&str] = &["tests", "bench", "fuzz"];

/// What a crate's own tests may know beyond what it ships. Nobody's tests may know the end-to-end
/// suite, so that this stays short.
const TESTS_MAY_ALSO_KNOW: &[(&str, &[&str])] = &[("catalog", &["tenancy", "expression"])];

/// Heavy or dangerous dependencies, each with the only crates that may ship it: who wants another
/// engine, database or protocol changes one room.
const BEHIND: &[(&str, &[&str])] = &[
    ("chacha20poly1305", &["passport"]),
    ("envoy-types", &["xds", "relay", "control-plane"]),
    ("memmap2", &["artifact"]),
    ("sqlx", &["registry"]),
    ("tract-data", &["kernels"]),
    ("tract-linalg", &["kernels"]),
    ("tract-onnx", &["inference"]),
    ("nalgebra", &["inference"]),
    ("wgpu", &["gpu"]),
    ("wasmtime", &["wasm-host"]),
];

/// All that the filters' shell may ship beside `filter-core`: a source of random bytes for what that
/// draws.
const SHELL_MAY_SHIP: &[&str] = &["getrandom"];

#[test]
fn no_crate_knows_another_that_it_may_not_know() {
    let mut faults = Vec::new();
    for package in PACKAGES.iter().filter(|it| !MAY_KNOW_ALL.contains(&it.name.as_str())) {
        let Some(may) = row(MAY_KNOW, &package.name) else {
            faults.push(format!("{} is not in the table: say whom it may know", package.name));
            continue;
        };
        faults.extend(ours(package, false).difference(&may).map(|it| fault(package, it, "")));
        let mut may = may;
        may.extend(row(TESTS_MAY_ALSO_KNOW, &package.name).unwrap_or_default());
        // To turn its features on in its tests, a crate may name itself.
        may.insert(&package.name);
        faults.extend(ours(package, true).difference(&may).map(|it| fault(package, it, " tests")));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_table_speaks_of_crates_that_there_are() {
    let there: BTreeSet<&str> = PACKAGES.iter().map(|it| it.name.as_str()).collect();
    let tables = MAY_KNOW.iter().chain(TESTS_MAY_ALSO_KNOW).chain(BEHIND);
    let known = tables.clone().flat_map(|(_, others)| others.iter());
    let rows = MAY_KNOW.iter().map(|(name, _)| name).chain(MAY_KNOW_ALL);
    let strange: Vec<&&str> = known.chain(rows).filter(|name| !there.contains(*name)).collect();
    assert_eq!(strange, Vec::<&&str>::new());
}

#[test]
fn who_knows_everybody_is_known_to_nobody() {
    let tables = MAY_KNOW.iter().chain(TESTS_MAY_ALSO_KNOW);
    for (name, others) in tables {
        for other in *others {
            assert!(!MAY_KNOW_ALL.contains(other), "{name} may know {other}");
            let is_a_driver = ["cli", "xtask", "devstack"].contains(other);
            assert!(!is_a_driver || (*name, *other) == ("cli", "devstack"), "{name} -> {other}");
        }
    }
}

#[test]
fn what_is_heavy_or_dangerous_is_behind_one_room() {
    let mut faults = Vec::new();
    for (dependency, may) in BEHIND {
        let who: Vec<&str> = PACKAGES
            .iter()
            .filter(|package| !MAY_KNOW_ALL.contains(&package.name.as_str()))
            .filter(|package| ships(package).any(|it| it == *dependency))
            .map(|package| package.name.as_str())
            .collect();
        if who.is_empty() {
            faults.push(format!("nobody ships {dependency}: drop its line"));
        }
        let others = who.iter().filter(|name| !may.contains(name));
        faults.extend(others.map(|name| format!("{name} ships {dependency}; only {may:?} may")));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_filter_is_the_core_over_envoys_interface_and_nothing_else() {
    for (filter, may_ship) in [("shell", SHELL_MAY_SHIP), ("gate", &[]), ("recheck", &[])] {
        let package = PACKAGES.iter().find(|it| it.name == filter).unwrap();
        let may = row(MAY_KNOW, filter).unwrap();
        let others: Vec<&str> =
            ships(package).filter(|it| !may.contains(it) && !may_ship.contains(it)).collect();
        assert!(others.is_empty(), "{filter} ships {others:?} too");
    }
}

fn row(table: &[(&str, &'static [&'static str])], name: &str) -> Option<BTreeSet<&'static str>> {
    let (_, row) = table.iter().find(|(it, _)| *it == name)?;
    Some(row.iter().copied().collect())
}

/// The crates of the workspace that a crate depends on: for what it ships, or for its tests.
fn ours(package: &Package, for_tests: bool) -> BTreeSet<&str> {
    let is_for_tests = |kind: Option<&str>| kind == Some("dev");
    package
        .dependencies
        .iter()
        .filter(|it| it.path.is_some() && is_for_tests(it.kind.as_deref()) == for_tests)
        .map(|it| it.name.as_str())
        .collect()
}

fn ships(package: &Package) -> impl Iterator<Item = &str> {
    let shipped = package.dependencies.iter().filter(|it| it.kind.as_deref() != Some("dev"));
    shipped.map(|it| it.name.as_str())
}

fn fault(package: &Package, other: &str, whose: &str) -> String {
    format!("{}'s{whose} manifest names {other}, which it may not know", package.name)
}
