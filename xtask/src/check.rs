//! `cargo xtask check`.

use anyhow::Result;

use crate::{
    command::{cargo, find, output, run as run_command},
    phase::phase,
};

/// Formatting, lints, documentation and dependencies, with warnings denied.
pub(crate) fn run(_arguments: &[String]) -> Result<()> {
    phase("formatting", || run_command(cargo().args(["fmt", "--all", "--", "--check"])))?;
    phase("lints", || {
        run_command(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))
    })?;
    phase("documentation", || {
        run_command(
            cargo()
                .args(["doc", "--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "--deny warnings"),
        )
    })?;
    if find("cargo-deny").is_none() {
        eprintln!(
            "\nSKIPPED: licences, advisories, bans and sources of dependencies; `cargo install --locked cargo-deny` gives what checks them"
        );
        return Ok(());
    }
    phase("dependencies", || {
        run_command(cargo().args(["deny", "check", "bans", "licenses", "sources"]))
    })?;
    advisories()
}

/// Advisories come from a database that has to be fetched; what cannot be looked up is said, and is
/// no fault of the workspace.
fn advisories() -> Result<()> {
    if output(cargo().args(["deny", "fetch", "db"])).is_none() {
        eprintln!(
            "\nSKIPPED: advisories of dependencies; `cargo deny fetch db` cannot fetch their database"
        );
        return Ok(());
    }
    phase("advisories", || {
        run_command(cargo().args(["deny", "check", "--disable-fetch", "advisories"]))
    })
}
