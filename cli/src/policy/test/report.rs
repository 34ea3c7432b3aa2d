//! What came of scenarios, for people.

use std::time::Duration;

use anyhow::{Context, Result};
use scenario::{Ending, Scenario, Suite, Verdict, format::Way};

use crate::policy::sources::plural;

/// What came of every scenario, every way.
pub(super) struct Report<'a> {
    pub(super) lines: Vec<Line<'a>>,
    scenarios: usize,
}

/// What came of one scenario, one way.
pub(super) struct Line<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) way: Way,
    pub(super) took: Duration,
    pub(super) end: End,
}

pub(super) enum End {
    Kept,
    Skipped(String),
    /// What was expected and what was found, each with its place.
    Broken(Vec<String>),
    /// Why it could not be played.
    Failed(String),
}

impl<'a> Report<'a> {
    pub(super) fn of(suite: &'a Suite, verdicts: &[Verdict]) -> Result<Self> {
        let scenarios: Vec<&Scenario> = suite.scenarios().collect();
        let lines = verdicts.iter().map(|verdict| {
            let scenario = *scenarios.get(verdict.index).context("a verdict has a scenario")?;
            let end = match &verdict.result {
                Ok(Ending::Kept(_)) => match differs(suite, verdicts, verdict)? {
                    None => End::Kept,
                    Some(difference) => End::Broken(vec![difference]),
                },
                Ok(Ending::Skipped(why)) => End::Skipped(why.clone()),
                Ok(Ending::Broken(_, all)) => {
                    End::Broken(all.iter().map(ToString::to_string).collect())
                }
                Err(error) => End::Failed(error.to_string()),
            };
            Ok(Line { scenario, way: verdict.way, took: verdict.took, end })
        });
        Ok(Self { lines: lines.collect::<Result<_>>()?, scenarios: scenarios.len() })
    }

    pub(super) fn is_good(&self) -> bool {
        self.lines.iter().all(|line| matches!(line.end, End::Kept | End::Skipped(_)))
    }

    /// One line for each request that was not as promised, and where `verbose`, for every scenario.
    pub(super) fn print(&self, verbose: bool) {
        for Line { scenario, way, took, end } in &self.lines {
            let millis = took.as_secs_f64() * 1e3;
            match end {
                End::Kept if verbose => {
                    println!("kept     {way:<6} {millis:>6.1} ms  {}", scenario.name);
                }
                End::Skipped(why) if verbose => {
                    println!("skipped  {way:<6} {}: {why}", scenario.name);
                }
                End::Kept | End::Skipped(_) => {}
                End::Broken(all) => {
                    for one in all {
                        println!("{one} (over {way})\n    {}", scenario.promise);
                    }
                }
                End::Failed(why) => println!("{why} (over {way})\n    {}", scenario.promise),
            }
        }
    }

    pub(super) fn summary(&self) -> String {
        let count = |is: fn(&End) -> bool| self.lines.iter().filter(|line| is(&line.end)).count();
        let broken = count(|end| matches!(end, End::Broken(_) | End::Failed(_)));
        let skipped = count(|end| matches!(end, End::Skipped(_)));
        let mut ways: Vec<&str> = self.lines.iter().map(|line| line.way.as_str()).collect();
        ways.sort_unstable();
        ways.dedup();
        let kept = self.lines.len() - broken - skipped;
        let mut summary = format!(
            "{} over {}: {kept} kept, {broken} broken",
            plural(self.scenarios, "scenario"),
            ways.join(" and "),
        );
        if skipped > 0 {
            summary.push_str(&format!(", {skipped} skipped"));
        }
        summary
    }
}

/// How the decisions over the WebAssembly differ from the native ones, where both kept what was
/// promised.
fn differs(suite: &Suite, verdicts: &[Verdict], verdict: &Verdict) -> Result<Option<String>> {
    let native = verdicts.iter().find(|it| it.index == verdict.index && it.way == Way::Native);
    let (Some(native), Way::Wasm) = (native.and_then(Verdict::played), verdict.way) else {
        return Ok(None);
    };
    let deployment = suite.deployment(verdict.index).context("a scenario has a deployment")?;
    let wasm = verdict.played().context("it was played")?.decisions(deployment)?;
    let native = native.decisions(deployment)?;
    let different = native.iter().zip(&wasm).position(|(native, wasm)| native != wasm);
    Ok(different.map(|at| {
        let (native, wasm) = (native.get(at), wasm.get(at));
        format!(
            "request {}: expected both to decide alike, found {native:?} natively and {wasm:?}",
            at + 1
        )
    }))
}
