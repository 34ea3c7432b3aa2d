//! `bulkhead policy test`.

mod filters;
mod junit;
mod report;

use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use policy_model::diagnostic::Diagnostics;
use scenario::{Deployment, Error, Suite, Verdict, bless::bless, format::Way};

use crate::policy::sources::{Sources, plural};
use filters::FilterArguments;
use report::Report;

/// Each scenario is played over the native filters and over the WebAssembly that Envoy loads, and
/// the two must decide alike. The exit status is 0 where every promise was kept, 1 where one was
/// broken, and 2 where scenarios or resources have mistakes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Scenarios: files, or folders with all below them. A scenario starts from the nearest
    /// `deployment.yaml` in its folder or above it, and where there is none, from the example
    /// deployment that ships.
    #[arg(value_name = "FILE|DIR", default_value = "tests/scenarios")]
    paths: Vec<PathBuf>,
    /// Start every scenario from these resources instead.
    #[arg(long, value_name = "FILE|DIR")]
    resources: Vec<PathBuf>,
    /// What they are played over.
    #[arg(long, value_enum, default_value_t)]
    over: Over,
    #[command(flatten)]
    filters: FilterArguments,
    /// Write a report for CI, in JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write what the filters do into the scenarios as what is expected, and print the change.
    #[arg(long)]
    bless: bool,
    /// Print every scenario, with how long it took.
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Over {
    /// The native filters and the WebAssembly.
    #[default]
    Both,
    /// The native filters alone.
    Native,
}

/// Scenarios or their resources could not be read.
const MISTAKES: u8 = 2;

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let began = Instant::now();
    let suite = match load(&arguments) {
        Ok(suite) => suite,
        Err(error) => {
            eprintln!("{error:#}");
            return Ok(ExitCode::from(MISTAKES));
        }
    };
    let filters = match arguments.over {
        Over::Both => Some(arguments.filters.load()?),
        Over::Native => None,
    };
    let verdicts = suite.run(filters.as_ref());
    if arguments.bless {
        return refresh(&suite, &verdicts);
    }
    let report = Report::of(&suite, &verdicts)?;
    report.print(arguments.verbose);
    println!("{} in {:.2} s", report.summary(), began.elapsed().as_secs_f64());
    if let Some(file) = &arguments.junit {
        fs::write(file, junit::document(&report))
            .with_context(|| format!("could not write {}", file.display()))?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(arguments: &Arguments) -> Result<Suite> {
    let resources = match arguments.resources.as_slice() {
        [] => None,
        paths => Some(deployment(paths)?),
    };
    let suite = Suite::load(&arguments.paths, resources.as_ref())?;
    if suite.scenarios().len() == 0 {
        bail!("expected scenarios in {:?}, found none", arguments.paths);
    }
    Ok(suite)
}

/// The deployment of the resources in `paths`.
pub(super) fn deployment(paths: &[PathBuf]) -> Result<Deployment> {
    let sources = Sources::read(paths)?;
    let mut resources = Vec::new();
    let mut mistakes = Vec::new();
    for source in &sources.resources {
        match policy_model::spec::parse(&source.name, &source.text) {
            Ok(found) => resources.extend(found),
            Err(found) => mistakes.extend(found),
        }
    }
    if !mistakes.is_empty() {
        return Err(Error::from(Diagnostics(mistakes)).into());
    }
    Ok(Deployment::of(resources)?)
}

/// Writes what was decided into the scenarios, prints the change, and says what stays as it is.
fn refresh(suite: &Suite, verdicts: &[Verdict]) -> Result<ExitCode> {
    let (mut refreshed, mut refused) = (0, 0);
    for (index, scenario) in suite.scenarios().enumerate() {
        let of = |way| verdicts.iter().find(|it| it.index == index && it.way == way);
        let played = |way| of(way).and_then(Verdict::played);
        let deployment = suite.deployment(index).context("a scenario has a deployment")?;
        let failed = [Way::Native, Way::Wasm]
            .into_iter()
            .filter_map(of)
            .find_map(|verdict| verdict.result.as_ref().err().map(ToString::to_string));
        let outcome = match (failed, played(Way::Native)) {
            (Some(error), _) => Err(error),
            (None, None) => Ok(None),
            (None, Some(native)) => bless(deployment, scenario, native, played(Way::Wasm))?
                .map_err(|refusal| refusal.to_string()),
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(blessed)) => {
                print!("{}", blessed.diff());
                fs::write(&blessed.file, &blessed.after)
                    .with_context(|| format!("could not write {}", blessed.file.display()))?;
                refreshed += 1;
            }
            Err(why) => {
                eprintln!("{}: not refreshed: {why}", scenario.file.display());
                refused += 1;
            }
        }
    }
    let all = plural(suite.scenarios().len(), "scenario");
    println!("{all}: {refreshed} refreshed, {refused} refused");
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
