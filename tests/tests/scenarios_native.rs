//! Every promise in `tests/scenarios/`, over the native core.

use std::collections::BTreeSet;

use anyhow::Result;
use scenario::{Native, Verification};
use tests::{keep_every_promise, scenarios};

/// The promises of the README that the edge holds, by number. The others are of artifacts (5), of
/// the meter (7) and of processes that are gone (9).
const HELD_AT_THE_EDGE: [u8; 6] = [1, 2, 3, 4, 6, 8];

#[test]
fn the_native_core_keeps_every_promise() -> Result<()> {
    keep_every_promise(&scenarios()?, &mut Native::new(Verification::ByHost)).map(drop)
}

#[test]
fn a_host_without_native_verification_changes_no_promise() -> Result<()> {
    keep_every_promise(&scenarios()?, &mut Native::new(Verification::ByFilter)).map(drop)
}

#[test]
fn every_promise_that_the_edge_holds_has_a_scenario() -> Result<()> {
    let suite = scenarios()?;
    let guarded: BTreeSet<u8> = suite.scenarios().flat_map(|it| it.guards.clone()).collect();
    assert_eq!(guarded, BTreeSet::from(HELD_AT_THE_EDGE));
    assert!(suite.scenarios().len() >= 60, "found {} scenarios", suite.scenarios().len());
    Ok(())
}

#[test]
fn a_promise_is_said_once_and_is_a_sentence() -> Result<()> {
    let suite = scenarios()?;
    let mut said = BTreeSet::new();
    for scenario in suite.scenarios() {
        let promise = scenario.promise.trim();
        assert!(promise.ends_with('.'), "{}: `{promise}`", scenario.name);
        assert!(said.insert(promise), "{}: said before: `{promise}`", scenario.name);
    }
    Ok(())
}
