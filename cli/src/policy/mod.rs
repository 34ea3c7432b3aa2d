//! `bulkhead policy`: checks and all other resources, from the editor to every proxy and back.
//!
//! `lint`, `test` and `explain` need no server. The others are calls of the xds-server's API.

mod apply;
mod diff;
mod explain;
mod history;
mod lint;
mod replay;
mod rollback;
mod shadow;
mod sources;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::status;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read resources and say every mistake in them.
    Lint(lint::Arguments),
    /// Run scenarios over resources, without Envoy.
    Test(test::Arguments),
    /// Say what becomes of one request, and why.
    Explain(explain::Arguments),
    /// Compare files with what runs: which tenants would change, and how.
    Diff(diff::Arguments),
    /// Create and change resources, and wait until every proxy has taken or refused them.
    Apply(apply::Arguments),
    /// Put what held before back in force.
    Rollback(rollback::Arguments),
    /// Show what was changed when, by whom and why.
    History(history::Arguments),
    /// Show which proxy has which revision in force, and what it refused, in its words.
    Status(status::Arguments),
    /// Decide on recorded requests by what runs and by a candidate, and say what differs.
    Replay(replay::Arguments),
    /// Show what checks in shadow mode would have denied.
    Shadow(shadow::Arguments),
}

/// Runs a command; the exit status is the command's own, as its `--help` says.
pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Lint(arguments) => lint::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Explain(arguments) => explain::run(arguments).await,
        Command::Diff(arguments) => Ok(diff::run(arguments).await),
        Command::Apply(arguments) => apply::run(arguments).await,
        Command::Rollback(arguments) => rollback::run(arguments).await,
        Command::History(arguments) => done(history::run(arguments).await),
        Command::Status(arguments) => done(status::run(arguments).await),
        Command::Replay(arguments) => Ok(replay::run(arguments).await),
        Command::Shadow(arguments) => done(shadow::run(arguments).await),
    }
}

fn done(outcome: Result<()>) -> Result<ExitCode> {
    outcome.map(|()| ExitCode::SUCCESS)
}
