//! The suite: what every test of the whole deployment shares.
//!
//! Start with [`e2e::example`]. Promises are written in `tests/scenarios/`; what reads and plays
//! them is the crate `scenario`.

pub mod e2e;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use scenario::{Ending, Runner, Suite, Verdict};

/// Where scenarios lie: the suite's own, and those of the checks that ship.
const FOLDERS: [&str; 2] = ["tests/scenarios", "policies/catalog"];

/// Every scenario of the repository.
///
/// # Errors
/// Where one has mistakes.
pub fn scenarios() -> Result<Suite> {
    let root = devstack::environment::repository();
    let folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    let suite = Suite::load(&folders, None)?;
    ensure!(suite.scenarios().len() > 0, "expected scenarios in {FOLDERS:?}, found none");
    Ok(suite)
}

/// Plays every scenario over `runner`, and says what did not hold.
///
/// # Errors
/// One error that names every broken promise, with what was expected and what was found.
pub fn keep_every_promise(suite: &Suite, runner: &mut dyn Runner) -> Result<Vec<Verdict>> {
    let verdicts: Vec<Verdict> =
        (0..suite.scenarios().len()).map(|index| suite.run_one(index, runner)).collect();
    let mut broken = Vec::new();
    for (verdict, scenario) in verdicts.iter().zip(suite.scenarios()) {
        match &verdict.result {
            Ok(Ending::Kept(_)) => {}
            Ok(Ending::Skipped(why)) => {
                println!("SKIPPED over {}: {}: {why}", verdict.way, scenario.name);
            }
            Ok(Ending::Broken(_, all)) => {
                broken.push(scenario.promise.clone());
                broken.extend(all.iter().map(|it| format!("    {it}")));
            }
            Err(error) => broken.push(format!("{}\n    {error}", scenario.promise)),
        }
    }
    ensure!(broken.is_empty(), "broken promises:\n{}", broken.join("\n"));
    Ok(verdicts)
}

/// Whether two ways of playing the same scenarios came to the same decisions.
///
/// # Errors
/// Every scenario over which they differ.
pub fn decide_alike(suite: &Suite, one: &[Verdict], other: &[Verdict]) -> Result<()> {
    let mut differences = Vec::new();
    for ((one, other), scenario) in one.iter().zip(other).zip(suite.scenarios()) {
        let deployment = suite.deployment(one.index).context("a scenario has a deployment")?;
        let (Some(first), Some(second)) = (one.played(), other.played()) else { continue };
        let (first, second) = (first.decisions(deployment)?, second.decisions(deployment)?);
        for (at, pair) in first.iter().zip(&second).enumerate().filter(|(_, pair)| pair.0 != pair.1)
        {
            let place = format!("{}: request {}", scenario.name, at + 1);
            let (ways, decisions) = ((one.way, other.way), pair);
            differences.push(format!("{place}: {} {:?}", ways.0, decisions.0));
            differences.push(format!("{place}: {} {:?}", ways.1, decisions.1));
        }
    }
    ensure!(differences.is_empty(), "they differ:\n{}", differences.join("\n"));
    Ok(())
}
