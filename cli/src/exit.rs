//! The exit statuses of the operators' commands, so that scripts can tell what happened.

use std::process::ExitCode;

/// How a command that changes something ended. 1 says that it could not be tried (no server, no
/// right, no such file) and 2 that it was not understood; those are [`ExitCode::FAILURE`] and
/// clap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done = 0,
    /// The server refused the resources; nothing changed.
    Refused = 3,
    /// It holds, but a proxy refused it and serves by what it had before.
    RefusedByProxy = 4,
    /// Somebody else changed something first; nothing changed.
    Stale = 5,
    /// It holds, but not every proxy answered in time.
    NoAnswer = 6,
    /// A canary did not take it; nothing changed for the others, and it was taken back.
    CanaryFailed = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// As [`Exit`], for `--help`.
pub(crate) const HELP: &str = "\
Exit status:
  0  in force at every connected proxy (or, with --dry-run, it would be accepted)
  1  it could not be tried: no server, no right, no such file
  2  the arguments were not understood
  3  the server refused the resources; nothing changed
  4  it holds, but a proxy refused it, and serves by what it had before
  5  stale: somebody else changed something first; nothing changed
  6  it holds, but not every connected proxy answered in time
  7  a canary did not take it: it was rolled back, and nobody else was sent it";

/// For commands that compare, as `diff` does: 0 where nothing differs, 1 where something does, and
/// more than 1 where there was trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    Same = 0,
    Differs = 1,
    Trouble = 2,
    /// The resources that were to be compared are refused.
    Refused = 3,
}

impl From<Compared> for ExitCode {
    fn from(compared: Compared) -> Self {
        Self::from(compared as u8)
    }
}

/// The trouble is told, and is the exit status.
pub(crate) fn or_trouble(outcome: anyhow::Result<Compared>) -> ExitCode {
    outcome
        .unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Compared::Trouble
        })
        .into()
}
