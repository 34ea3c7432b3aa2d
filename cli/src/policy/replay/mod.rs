//! `bulkhead policy replay`.

mod decision;
mod lines;
mod record;
mod report;
mod revision;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use policy_model::{
    diagnostic::{Diagnostics, Origin},
    spec::Resource,
};

use crate::{
    apply::{read, resources},
    exit::{Compared, or_trouble},
    server::ServerArguments,
};
use lines::Lines;
use record::Record;
use report::Report;
use revision::Revision;

const HELP: &str = "\
A recording is JSON lines, one object for each request, as the Envoys' JSON access log writes them:
  {\"time\": \"2026-11-21T07:00:00Z\", \"tenant\": \"org_aa\", \"method\": \"POST\",
   \"path\": \"/v2/models/air-time/infer\", \"host\": \"api.example.com\", \"content_length\": 512}
Can be added: `headers` (an object, all of them), `claims` (an object, of the verified token),
`algorithm` and `key_id` (of its header). A check that reads what a record does not hold counts as
passed, and is told. Other fields are skipped. A file whose name ends in .gz is unpacked; `-` is the
standard input.

The identity is the record's: tokens are not verified again, and no rate is taken. Checks at the gate
and the recheck are evaluated; those at the sidecar are not, as a record names no model.

Exit status:
  0  no decision would change
  1  some would
  2  there was trouble: no server, no such file; with --strict, a bad line
  3  the resources are refused";

/// Decides on recorded requests by what runs and by a candidate, and says which decisions differ.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The recording.
    #[arg(value_name = "FILE")]
    recording: PathBuf,
    /// The candidate: files or folders of resources, which replace those of the same kind and name
    /// of what runs and add to the others.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    candidate: Vec<PathBuf>,
    /// The candidate is these files alone: what runs and is not in them is gone.
    #[arg(long)]
    prune: bool,
    /// What runs, as files or folders of resources, in place of a server's.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    base: Vec<PathBuf>,
    /// How many requests to show of each difference.
    #[arg(long, value_name = "N", default_value_t = 3)]
    examples: usize,
    /// Fail at the first bad line.
    #[arg(long)]
    strict: bool,
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
    let revisions = match arguments.revisions().await? {
        Ok(revisions) => revisions,
        Err(Diagnostics(mistakes)) => {
            for mistake in mistakes {
                eprintln!("{mistake}");
            }
            return Ok(Compared::Refused);
        }
    };
    let report = replay(&arguments, &revisions)?;
    if arguments.json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        print!("{}", report.render());
    }
    Ok(report.verdict())
}

/// What runs, and what is to run.
struct Revisions {
    now: Revision,
    then: Revision,
}

impl Arguments {
    /// Both revisions, or why the candidate is none.
    async fn revisions(&self) -> Result<Result<Revisions, Diagnostics>> {
        let base = if self.base.is_empty() {
            self.in_force().await?
        } else {
            match resources(&read(&self.base)?) {
                Ok(base) => over(catalog::tiers()?, base),
                Err(mistakes) => return Ok(Err(mistakes)),
            }
        };
        let now = Revision::of(&base)?.map_err(anyhow::Error::from);
        let now = now.context("what runs does not compile with this version of bulkhead")?;
        let files = read(&self.candidate)?;
        let candidate = resources(&files);
        // What ships with the release stays, whatever is pruned.
        let kept = if self.prune { catalog::tiers()? } else { base };
        Ok(match candidate.map(|files| over(kept, files)) {
            Ok(candidate) => Revision::of(&candidate)?.map(|then| Revisions { now, then }),
            Err(mistakes) => Err(mistakes),
        })
    }

    async fn in_force(&self) -> Result<Vec<Resource>> {
        let listed = self.server.connect()?.resources().await?;
        let read = |json| {
            Resource::from_json(json, Origin::default())
                .map_err(anyhow::Error::msg)
                .context("the xds-server has a resource that this release cannot read")
        };
        listed.into_iter().map(read).collect()
    }
}

/// `base` with `files` in place of what they replace.
fn over(mut base: Vec<Resource>, files: Vec<Resource>) -> Vec<Resource> {
    base.retain(|old| !files.iter().any(|new| new.id() == old.id()));
    base.extend(files);
    base
}

fn replay(arguments: &Arguments, revisions: &Revisions) -> Result<Report> {
    let mut lines = Lines::open(&arguments.recording)?;
    let mut report = Report::keeping(arguments.examples);
    let file = || format!("could not read {}", arguments.recording.display());
    while let Some(line) = lines.next().with_context(file)? {
        let read =
            line.text.map_or_else(|| Err("expected a shorter line".to_owned()), Record::read);
        match read {
            Ok(record) => decide(&mut report, line.number, &record, revisions),
            // An Envoy writes its log in pieces, and is in the middle of a line.
            Err(_) if !line.is_ended => {
                eprintln!("line {}: not written to its end yet, and left out", line.number);
            }
            Err(why) if arguments.strict => bail!("line {}: {why}", line.number),
            Err(why) => report.bad_line(line.number, &why),
        }
    }
    Ok(report)
}

fn decide(report: &mut Report, line: u64, record: &Record, revisions: &Revisions) {
    if !record.is_of_ingress() {
        report.elsewhere += 1;
        return;
    }
    let Some(tenant) = &record.tenant else {
        report.without_tenant += 1;
        return;
    };
    let now = revisions.now.decide(tenant, record);
    let then = revisions.then.decide(tenant, record);
    report.add(line, tenant.as_str(), record, &now, &then);
}
