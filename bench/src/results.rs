//! What is done with results: a bar is told, and all of them are recorded.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use devstack::environment;
use serde::Serialize;

/// How it is told whether a bar is met.
pub(crate) const fn verdict(pass: bool) -> &'static str {
    if pass { "PASS" } else { "FAIL" }
}

/// Writes the results of the bench `name` in JSON, to `out` or else to `bench/results/{name}.json`.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn record(name: &str, out: Option<&Path>, results: &impl Serialize) -> Result<()> {
    let usual = || environment::repository().join(format!("bench/results/{name}.json"));
    let to = out.map_or_else(usual, PathBuf::from);
    let mut json = serde_json::to_string_pretty(results)?;
    json.push('\n');
    let written =
        to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&to, json));
    written.with_context(|| format!("could not write {}", to.display()))
}
