//! `bulkhead apply` of what cannot be.

use anyhow::{Result, ensure};
use devstack::{http, stack::Stack};
use serde_json::Value;
use tempfile::TempDir;
use tests::e2e::resources::{bulkhead, head};

pub async fn bad_resources_are_refused_with_their_place_and_change_nothing(
    stack: &Stack,
) -> Result<()> {
    let before = in_force(stack).await?;
    let folder = TempDir::new()?;
    for (text, place, named) in bad_resources() {
        let file = folder.path().join("fleet.yaml");
        std::fs::write(&file, &text)?;
        let file = file.display().to_string();
        let output = bulkhead(&["apply", "-f", &file, "--server", &stack.admin_url()]).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "this was applied:\n{text}");
        let at = format!("{file}{place}: error: ");
        let is_told = said.lines().any(|line| line.starts_with(&at) && line.contains(named));
        ensure!(is_told, "expected `{at}` and `{named}`, found:\n{said}\nfor:\n{text}");
        ensure!(said.contains("nothing was changed"), "{said}");
        let after = in_force(stack).await?;
        ensure!(after == before, "expected {before}, found {after} after:\n{text}");
    }
    a_file_that_is_not_the_named_artifact_is_not_registered(stack, &folder).await?;
    let after = in_force(stack).await?;
    ensure!(after == before, "expected {before}, found {after}");
    Ok(())
}

async fn a_file_that_is_not_the_named_artifact_is_not_registered(
    stack: &Stack,
    folder: &TempDir,
) -> Result<()> {
    std::fs::write(folder.path().join("swapped.onnx"), b"not what was evaluated")?;
    let file = folder.path().join("model.yaml");
    let digest = "0".repeat(64);
    let version = format!(
        "  versions:\n    - {{version: \"1\", artifact: swapped.onnx, digest: \"sha256:{digest}\", trainedOn: [org_aa]}}\n"
    );
    std::fs::write(&file, head("Model", "swapped") + &version)?;
    let file = file.display().to_string();
    let output = bulkhead(&["apply", "-f", &file, "--server", &stack.admin_url()]).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let names_both = said.contains(&digest) && said.contains("swapped.onnx");
    ensure!(!output.status.success() && names_both, "{said}");
    Ok(())
}

/// What the control plane says is in force: the revision and the journal's last entry.
async fn in_force(stack: &Stack) -> Result<Value> {
    let status = http::get(&format!("{}/v1/status", stack.admin_url())).await?.json()?;
    Ok(serde_json::json!([status["revision"], status["seq"], status["groups"]]))
}

/// Each with `:line:column`, and what the text has to name.
fn bad_resources() -> Vec<(String, &'static str, &'static str)> {
    let of_ua = |spec: &str| head("Tenant", "org_ua") + spec;
    let good = of_ua("  tier: pool\n  dataPlane: shared\n  suspended: true\n");
    vec![
        // Read here, before anything is sent.
        (of_ua("  tier: pool\n  dataPlain: shared\n"), ":7:3", "`dataPlain`"),
        (of_ua("  tier: gold\n  dataPlane: shared\n"), ":6:9", "`gold`"),
        (of_ua("  tier: pool\n  dataPlane: ../shared\n"), ":7:14", "`../shared`"),
        (of_ua("  tier: pool\n  tier: silo\n"), ":7:3", "`tier`"),
        (head("Tennant", "org_ua") + "  tier: pool\n", ":2:1", "`Tenant`"),
        // Compiled by the control plane, against what it has.
        (of_ua("  tier: pool\n  dataPlane: sharde\n"), ":7:14", "`shared`"),
        (of_ua("  tier: silo\n  dataPlane: shared\n"), ":7:14", "`silo`"),
        (
            of_ua(
                "  tier: bridge\n  dataPlane: shared\n  models: [{name: air-time, model: air-time-pooled, version: \"1\"}]\n",
            ),
            ":8:62",
            "org_ua",
        ),
        // One mistake, and what stands before it is not applied either.
        (good + &head("Tenant", "org_aa") + "  tier: pool\n", ":14:3", "`dataPlane`"),
    ]
}
