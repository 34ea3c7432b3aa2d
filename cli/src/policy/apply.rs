//! `bulkhead policy apply`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use crate::{
    apply::{Patience, read, send},
    exit,
    server::{Canaries, Canary, Change, ServerArguments},
};

/// Uploads what models name, has the server compile and write the change, and waits until every
/// connected proxy has taken or refused it.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Arguments {
    /// A file of resources, or a folder whose .yaml, .yml and .json files are read.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Send it to some proxies first, `10%` of them or the one with this node id, and to the others
    /// only once those have taken it. Where one does not, it is taken back from all.
    #[arg(long, value_name = "N%|PROXY", value_parser = canary)]
    canary: Option<Canaries>,
    /// Why, for the history.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Delete what runs and is not in the files.
    #[arg(long)]
    prune: bool,
    /// Change nothing; say what would be changed.
    #[arg(long)]
    dry_run: bool,
    /// The journal entry that you last saw: where a newer one changed something, nothing is
    /// applied, and its changes are shown.
    #[arg(long, value_name = "SEQ")]
    expect: Option<u64>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let server = arguments.server.connect()?;
    let change = Change {
        files: read(&arguments.paths)?,
        expected_seq: arguments.expect,
        message: arguments.message,
        canary: arguments.canary.map(|it| Canary::new(it, arguments.patience.timeout)),
        prune: arguments.prune,
        dry_run: arguments.dry_run,
    };
    let outcome = send(&server, &change, &arguments.patience).await?;
    Ok(outcome.tell(arguments.patience.json).into())
}

fn canary(text: &str) -> Result<Canaries, String> {
    let expected = || format!("expected `10%` or a proxy's node id, found `{text}`");
    if let Some(number) = text.strip_suffix('%') {
        let percent = number.trim().parse().ok().filter(|percent| (1..=100).contains(percent));
        return percent.map(Canaries::Percent).ok_or_else(expected);
    }
    if text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected());
    }
    Ok(Canaries::Proxy(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_a_share_or_a_proxy() {
        assert_eq!(canary("10%"), Ok(Canaries::Percent(10)));
        assert_eq!(canary("ingress-1"), Ok(Canaries::Proxy("ingress-1".to_owned())));
        for wrong in ["", "10", "0%", "101%", "-1%", "x%"] {
            assert!(canary(wrong).is_err(), "{wrong}");
        }
    }
}
