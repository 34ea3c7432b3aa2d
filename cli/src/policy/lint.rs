//! `bulkhead policy lint`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, ValueEnum};
use policy_model::{
    compile::compile,
    diagnostic::{Diagnostic, Severity},
    spec::{Resource, parse},
};
use scenario::Scenario;

use crate::policy::sources::{Sources, plural};

/// Scenarios among the files are read too. The exit status is 1 where there is an error; warnings
/// do not change it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file of resources, or a folder whose YAML and JSON files are read, and those below it.
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    /// Resources that these refer to, such as the tenants of a folder of checks. Mistakes of their
    /// own are told too.
    #[arg(long, value_name = "FILE|DIR")]
    with: Vec<PathBuf>,
    /// How the diagnostics are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// `file:line:column: severity: resource: message`, each on a line.
    #[default]
    Text,
    /// One JSON object with a list of diagnostics.
    Json,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let sources = Sources::read(arguments.paths.iter().chain(&arguments.with))?;
    let diagnostics = lint(&sources);
    let count = |severity| diagnostics.iter().filter(|it| it.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match arguments.format {
        Format::Text => {
            for diagnostic in &diagnostics {
                println!("{diagnostic}");
            }
            let (errors, warnings) = (plural(errors, "error"), plural(warnings, "warning"));
            println!("{}: {errors}, {warnings}", plural(sources.len(), "file"));
        }
        Format::Json => {
            let report = serde_json::json!({
                "files": sources.len(),
                "errors": errors,
                "warnings": warnings,
                "diagnostics": diagnostics,
            });
            println!("{report:#}");
        }
    }
    Ok(if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every mistake: first of each file alone, then, where every file reads, of them together with
/// the tiers that ship.
fn lint(sources: &Sources) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut resources = Vec::new();
    for source in &sources.resources {
        match parse(&source.name, &source.text) {
            Ok(found) => resources.extend(found),
            Err(found) => diagnostics.extend(found),
        }
    }
    if diagnostics.is_empty() {
        diagnostics.extend(together(resources));
    }
    for source in &sources.scenarios {
        let read = Scenario::parse(source.name.as_ref(), &source.text);
        diagnostics.extend(read.err().map(|found| found.0).unwrap_or_default());
    }
    diagnostics
}

fn together(mut resources: Vec<Resource>) -> Vec<Diagnostic> {
    let own: Vec<String> = resources.iter().map(Resource::id).collect();
    let shipped = catalog::tiers().unwrap_or_default();
    resources.extend(shipped.into_iter().filter(|tier| !own.contains(&tier.id())));
    match compile(&resources) {
        Ok(compiled) => compiled.warnings,
        Err(mistakes) => mistakes.0,
    }
}
