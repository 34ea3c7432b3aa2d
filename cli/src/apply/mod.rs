//! `bulkhead apply`, and what it shares with `bulkhead policy apply` and `rollback`.

mod artifacts;
mod files;
mod outcome;
mod progress;
mod send;
mod wait;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Args;

use crate::{
    exit,
    server::{Change, ServerArguments},
};
pub(crate) use files::{read, resources};
pub(crate) use outcome::{Outcome, planned};
pub(crate) use send::send;
pub(crate) use wait::finish;

#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Arguments {
    /// A file of resources, or a folder whose .yaml, .yml and .json files are read; can be given
    /// again.
    #[arg(short, long = "file", value_name = "FILE|DIR", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    server: ServerArguments,
}

/// How long a command waits for the proxies, and how it says what it found.
#[derive(Debug, Clone, Args)]
pub(crate) struct Patience {
    /// How many seconds to wait for the connected proxies to take the change; 0 not to wait.
    #[arg(long, alias = "wait", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Print JSON, and progress on the standard error output.
    #[arg(long)]
    pub(crate) json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse().ok();
    number
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("expected seconds such as `10` or `2.5s`, found `{text}`"))
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let server = arguments.server.connect()?;
    let change = Change { files: read(&arguments.files)?, ..Change::default() };
    let outcome = send(&server, &change, &arguments.patience).await?;
    Ok(outcome.tell(arguments.patience.json).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_seconds() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("0.5s"), Ok(Duration::from_millis(500)));
        for wrong in ["", "-1", "1m", "soon", "inf"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
