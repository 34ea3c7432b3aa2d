//! Resources as an operator writes them, and the commands that an operator types.

use std::{fs, path::Path, process::Output};

use anyhow::{Context as _, Result, bail};
use devstack::environment;
use tokio::process::Command;

/// A `Tenant` of one data plane: its tier, and further lines of its `spec`.
pub fn tenant(id: &str, tier: &str, data_plane: &str, spec: &[&str]) -> String {
    let mut yaml = head("Tenant", id);
    yaml.push_str(&format!("  tier: {tier}\n  dataPlane: {data_plane}\n"));
    for line in spec {
        yaml.push_str(&format!("  {line}\n"));
    }
    yaml
}

/// A `rateLimit` of a tenant's `spec`.
pub fn rate_limit(requests: u32, per_seconds: u32, burst: u32) -> String {
    format!("rateLimit: {{requests: {requests}, perSeconds: {per_seconds}, burst: {burst}}}")
}

/// The first lines of a resource, up to its `spec`.
pub fn head(kind: &str, name: &str) -> String {
    format!("---\napiVersion: bulkhead.dev/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n")
}

/// `bulkhead apply` of this YAML, which is written into `folder` first. Returns what it printed.
///
/// # Errors
/// Where it fails; with what it said.
pub async fn apply(folder: &Path, server: &str, yaml: &str) -> Result<String> {
    let file = folder.join("applied.yaml");
    fs::write(&file, yaml)?;
    let file = file.to_str().context("a path in UTF-8")?;
    succeeded(bulkhead(&["apply", "--file", file, "--server", server]).await?)
}

/// `bulkhead status`: what it printed.
///
/// # Errors
/// Where it fails.
pub async fn status(server: &str) -> Result<String> {
    succeeded(bulkhead(&["status", "--server", server]).await?)
}

/// Runs the `bulkhead` binary.
///
/// # Errors
/// Where it cannot be started.
pub async fn bulkhead(arguments: &[&str]) -> Result<Output> {
    let program = environment::bulkhead()?;
    let output = Command::new(&program).args(arguments).kill_on_drop(true).output().await;
    output.with_context(|| format!("could not start {}", program.display()))
}

fn succeeded(output: Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    bail!("bulkhead failed:\n{said}{}", String::from_utf8_lossy(&output.stderr))
}
