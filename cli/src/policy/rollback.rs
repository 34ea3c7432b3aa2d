//! `bulkhead policy rollback`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    apply::{Outcome, Patience, finish},
    exit,
    server::{Revision, Server, ServerArguments},
};

/// Puts what held before back in force, as a change of its own. Twice is back where it was.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Arguments {
    /// The journal entry or revision whose resources are to hold, as `policy history` shows them;
    /// the one before the newest where it is not said.
    #[arg(value_name = "SEQ|REV")]
    to: Option<String>,
    /// Why, for the history.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// The journal entry that you last saw, as for `policy apply`.
    #[arg(long, value_name = "SEQ")]
    expect: Option<u64>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let server = arguments.server.connect()?;
    let (to, newest) = match &arguments.to {
        Some(to) => (target(to), None),
        None => before_the_newest(&server).await?,
    };
    let mut body = json!({"to": to});
    if let Some(seq) = arguments.expect.or(newest) {
        body["expected_seq"] = json!(seq);
    }
    if let Some(message) = &arguments.message {
        body["message"] = json!(message);
    }
    let outcome = match server.rollback(&body).await {
        Ok(applied) => finish(&server, applied, &arguments.patience).await?,
        Err(error) => Outcome::of(error)?,
    };
    Ok(outcome.tell(arguments.patience.json).into())
}

/// A number is a journal entry; what is none is a revision.
fn target(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| json!(text), |seq| json!(seq))
}

/// Where to go back to, and the newest entry, so that nobody's change in between is taken back.
async fn before_the_newest(server: &Server) -> Result<(Value, Option<u64>)> {
    let (to, newest) = previous(&server.history(2).await?.revisions)
        .context("there is nothing to take back: the history has one entry at most")?;
    Ok((json!(to), Some(newest)))
}

fn previous(revisions: &[Revision]) -> Option<(u64, u64)> {
    match revisions {
        [newest, previous, ..] => Some((previous.seq, newest.seq)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(seq: u64) -> Revision {
        serde_json::from_value(json!({"seq": seq, "at": "2026-11-21T00:00:00Z", "actor": "ada"}))
            .unwrap()
    }

    #[test]
    fn without_a_target_it_is_the_revision_before_the_newest() {
        assert_eq!(previous(&[revision(9), revision(6), revision(2)]), Some((6, 9)));
        assert_eq!(previous(&[revision(9)]), None);
        assert_eq!(previous(&[]), None);
    }

    #[test]
    fn a_number_is_an_entry_and_the_rest_are_revisions() {
        assert_eq!(target("12"), json!(12));
        assert_eq!(target("12ab"), json!("12ab"));
    }
}
