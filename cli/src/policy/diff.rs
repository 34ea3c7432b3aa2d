//! `bulkhead policy diff`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use crate::{
    apply::{planned, read, resources},
    exit::{Compared, or_trouble},
    server::{Applied, ServerArguments, ServerError},
};

const EXIT_HELP: &str = "\
Exit status:
  0  nothing would change
  1  something would
  2  there was trouble: no server, no right, no such file
  3  the resources are refused";

/// Compares files with what runs: which resources would change, and what that means for each
/// tenant.
#[derive(Debug, Args)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct Arguments {
    /// A file of resources, or a folder whose .yaml, .yml and .json files are read.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// As `policy apply --prune` would: what runs and is not in the files is deleted.
    #[arg(long)]
    prune: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) async fn run(arguments: Arguments) -> ExitCode {
    or_trouble(compare(arguments).await)
}

async fn compare(arguments: Arguments) -> Result<Compared> {
    let server = arguments.server.connect()?;
    let files = read(&arguments.paths)?;
    let answer = match resources(&files) {
        Ok(_) => server.diff(&files, arguments.prune).await,
        Err(found) => Err(ServerError::Refused { detail: String::new(), mistakes: found.0 }),
    };
    match answer {
        Ok(found) => Ok(tell(&found, arguments.json)),
        Err(ServerError::Refused { detail, mistakes }) => {
            for mistake in &mistakes {
                eprintln!("{mistake}");
            }
            if mistakes.is_empty() {
                eprintln!("{detail}");
            }
            Ok(Compared::Refused)
        }
        Err(error) => Err(error.into()),
    }
}

fn tell(found: &Applied, as_json: bool) -> Compared {
    if as_json {
        println!("{:#}", serde_json::json!(found));
    } else {
        for warning in &found.warnings {
            eprintln!("{warning}");
        }
        print!("{}", planned(found));
    }
    verdict(found)
}

fn verdict(found: &Applied) -> Compared {
    if found.changes.is_empty() { Compared::Same } else { Compared::Differs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_that_of_diff() {
        let mut found = Applied::default();
        assert_eq!(verdict(&found) as u8, 0);
        found.changes.push("Tenant/org_a deleted".to_owned());
        assert_eq!(verdict(&found) as u8, 1);
        assert!(Compared::Trouble as u8 > 1 && Compared::Refused as u8 > 1);
    }
}
