//! `bulkhead policy`: checks and all other resources, from the editor to every proxy and back.
//!
//! `lint`, `test` and `explain` need no server. The others are calls of the xds-server's API.

mod explain;
mod lint;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read resources and say every mistake in them.
    Lint(lint::Arguments),
    /// Run scenarios over resources, without Envoy.
    Test(test::Arguments),
    /// Say what becomes of one request, and why.
    Explain(explain::Arguments),
}

/// Runs a command; the exit status is the command's own, as its `--help` says.
pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Lint(arguments) => lint::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
    }
}
