//! `bulkhead apply`.

mod artifacts;
mod files;
mod wait;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use policy_model::{
    diagnostic::Diagnostic,
    spec::{Resource, parse},
};

use crate::server::{ApplyOutcome, ResourceFile, Server, ServerArguments};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file of resources, or a folder whose .yaml, .yml and .json files are read; can be given
    /// again.
    #[arg(short, long = "file", value_name = "FILE|DIR", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    /// How many seconds to wait for the connected proxies to take the change; 0 not to wait.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    wait: Duration,
    #[command(flatten)]
    server: ServerArguments,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse().ok();
    number
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("expected seconds such as `10` or `2.5s`, found `{text}`"))
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let server = arguments.server.connect()?;
    let files = files::read(&arguments.files)?;
    let resources = read(&files)?;
    let uploaded = artifacts::upload(&server, &resources).await?;
    for artifact in uploaded {
        println!("artifact {artifact} uploaded");
    }
    apply(&server, &files).await?;
    wait::until_taken(&server, arguments.wait).await
}

/// Reads the resources here too, so that a mistake is told with nothing sent.
fn read(files: &[ResourceFile]) -> Result<Vec<Resource>> {
    let mut resources = Vec::new();
    let mut mistakes = Vec::new();
    for file in files {
        match parse(&file.name, &file.text) {
            Ok(found) => resources.extend(found),
            Err(found) => mistakes.extend(found),
        }
    }
    if !mistakes.is_empty() {
        return refuse(&mistakes);
    }
    Ok(resources)
}

async fn apply(server: &Server, files: &[ResourceFile]) -> Result<()> {
    let applied = match server.apply(files).await? {
        ApplyOutcome::Applied(applied) => applied,
        ApplyOutcome::Refused(mistakes) => return refuse(&mistakes),
    };
    for warning in &applied.warnings {
        eprintln!("{warning}");
    }
    for change in &applied.changes {
        println!("{change}");
    }
    if applied.changes.is_empty() {
        println!("nothing changed");
    }
    println!("revision {} (journal entry {})", applied.revision, applied.seq);
    Ok(())
}

fn refuse<T>(mistakes: &[Diagnostic]) -> Result<T> {
    for mistake in mistakes {
        eprintln!("{mistake}");
    }
    bail!("nothing was applied")
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
