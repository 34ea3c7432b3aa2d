//! Applies that the control plane refuses: nothing of them reaches a proxy.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use tests::e2e::resources::{self, bulkhead, head, tenant};

use super::{SHARED, Setting};

/// What the CLI exits with where the server refuses a change.
const REFUSED: i32 = 3;

/// So many checks that hold for so many tenants: each tenant's row names each check, in 2 bytes.
/// Together that is more than a table of 32 MiB, from a file of 2 MB.
const CHECKS: usize = 1000;
const TENANTS: usize = 17_000;

pub(super) async fn a_check_that_is_no_cel_is_refused_and_changes_nothing(
    setting: &Setting,
) -> Result<()> {
    let said = nothing_changes_under(setting, &check("misspelt", "tenant.idd == 'x'")).await?;
    ensure!(said.contains("idd"), "expected the field that is not there, found\n{said}");
    Ok(())
}

pub(super) async fn a_table_that_would_be_too_large_is_refused_and_changes_nothing(
    setting: &Setting,
) -> Result<()> {
    let mut yaml = String::new();
    for number in 0..CHECKS {
        yaml.push_str(&check(&format!("check-{number}"), "tenant.id != ''"));
    }
    for number in 0..TENANTS {
        yaml.push_str(&tenant(&format!("org_{number:05}"), "pool", SHARED, &[]));
    }
    let said = nothing_changes_under(setting, &yaml).await?;
    ensure!(said.contains("do not fit into a table"), "expected the table's size, found\n{said}");
    Ok(())
}

/// A check of every tenant at the gate.
fn check(name: &str, expression: &str) -> String {
    let mut yaml = head("Check", name);
    // Writing to a text cannot fail.
    let _ = write!(
        yaml,
        "  description: d\n  points: [gate]\n  mode: enforce\n  expression: {expression}\n  \
         denial: {{status: 403, code: denied_here, message: no}}\n"
    );
    yaml
}

/// Applies what is to be refused, under load; returns what the CLI said.
async fn nothing_changes_under(setting: &Setting, yaml: &str) -> Result<String> {
    let (edge, file) = (&setting.edge, setting.edge.folder().join("refused.yaml"));
    std::fs::write(&file, yaml)?;
    let server = edge.admin_url();
    let before = resources::status(&server).await?;
    let load = setting.load()?;
    load.answers(50).await?;
    let path = file.to_str().context("a path in UTF-8")?;
    let output = bulkhead(&["policy", "apply", path, "--server", &server]).await?;
    load.answers(200).await?;
    let outcomes = load.stop().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let shown: String = said.chars().take(400).collect();
    println!("exit status {:?}: {shown}; {} served", output.status.code(), outcomes.served);
    ensure!(output.status.code() == Some(REFUSED), "expected {REFUSED}, found {}", output.status);
    outcomes.all_served()?;
    let after = resources::status(&server).await?;
    ensure!(in_force(&before) == in_force(&after), "expected\n{before}\nfound\n{after}");
    ensure!(!after.contains("refused"), "expected nothing refused, found\n{after}");
    Ok(said)
}

/// Revision and journal entry, and what each proxy has, without for how long.
fn in_force(status: &str) -> Vec<String> {
    let without_age = |line: &str| {
        let words = line.split_whitespace().enumerate();
        words.filter(|(place, _)| *place != 3).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    };
    let (first, rows) = status.split_once('\n').unwrap_or((status, ""));
    std::iter::once(first.to_owned()).chain(rows.lines().map(without_age)).collect()
}
