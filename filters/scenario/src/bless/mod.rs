//! Refreshes what scenarios expect from what the native core does.
//!
//! Only the `expect` of a request that was not kept is written anew; every other byte of the file
//! stays. A scenario over which native core and WebAssembly differ is never refreshed, and neither
//! is one whose outcome no expectation can say.

mod refresh;
mod render;
mod splice;

use std::path::PathBuf;

use similar::TextDiff;

use crate::{Deployment, Error, Played, Scenario};

/// A scenario's file, refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blessed {
    /// The file.
    pub file: PathBuf,
    /// What it holds now.
    pub before: String,
    /// What it is to hold.
    pub after: String,
}

/// Why a scenario was not refreshed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The two ways to run it disagree.
    #[error("native core and WebAssembly differ at request {request}: {native} and {wasm}")]
    Differ {
        /// Which of its requests, from 1.
        request: usize,
        /// What the native core decided.
        native: String,
        /// What the WebAssembly decided.
        wasm: String,
    },
    /// The repetitions of one request came to more than an expectation can say.
    #[error("request {request} came to {found}, which no one expectation says: split it")]
    Mixed {
        /// Which of its requests, from 1.
        request: usize,
        /// What they came to.
        found: String,
    },
    /// The `expect` cannot be told from what is around it.
    #[error("line {line}: expected `expect:` to begin its line; give it a line of its own")]
    Inline {
        /// The line.
        line: u64,
    },
    /// What was written does not say what was meant. A fault of this code.
    #[error("the refreshed file says something else than was meant; it was not written: {0}")]
    Astray(String),
}

impl Blessed {
    /// The change as a unified diff, without colours.
    pub fn diff(&self) -> String {
        let shown = self.file.display();
        TextDiff::from_lines(&self.before, &self.after)
            .unified_diff()
            .header(&format!("a/{shown}"), &format!("b/{shown}"))
            .to_string()
    }
}

/// `scenario` as `native` kept it; nothing where its expectations hold as they are. `deployment`
/// is what it starts from.
///
/// # Errors
/// [`Refusal`], saying why it must stay as it is; [`Error`] where the deployment's key is none.
pub fn bless(
    deployment: &Deployment,
    scenario: &Scenario,
    native: &Played,
    wasm: Option<&Played>,
) -> Result<Result<Option<Blessed>, Refusal>, Error> {
    let broken = native.check(deployment, scenario)?;
    if broken.is_empty() {
        return Ok(Ok(None));
    }
    if let Some(refusal) = difference(deployment, native, wasm)? {
        return Ok(Err(refusal));
    }
    let mut after = scenario.text.clone();
    // From the last to the first, so that a line's number stays what it was.
    for one in broken.iter().rev() {
        let at = one.request - 1;
        let (Some(step), Some(seen)) = (scenario.requests.get(at), native.steps.get(at)) else {
            continue;
        };
        let refreshed = match refresh::refresh(deployment, &step.expect, seen)? {
            Ok(refreshed) => refreshed,
            Err(found) => return Ok(Err(Refusal::Mixed { request: one.request, found })),
        };
        match splice::replace(&after, step.expect_at.0, &refreshed) {
            Some(text) => after = text,
            None => return Ok(Err(Refusal::Inline { line: step.expect_at.0 })),
        }
    }
    Ok(match is_kept(deployment, scenario, &after, native) {
        Ok(()) => {
            let (file, before) = (scenario.file.clone(), scenario.text.clone());
            Ok(Some(Blessed { file, before, after }))
        }
        Err(why) => Err(Refusal::Astray(why)),
    })
}

/// Where the two ways decided differently.
fn difference(
    deployment: &Deployment,
    native: &Played,
    wasm: Option<&Played>,
) -> Result<Option<Refusal>, Error> {
    let Some(wasm) = wasm else { return Ok(None) };
    let (native, wasm) = (native.decisions(deployment)?, wasm.decisions(deployment)?);
    let different = native.iter().zip(&wasm).position(|(native, wasm)| native != wasm);
    Ok(different.map(|at| Refusal::Differ {
        request: at + 1,
        native: format!("{:?}", native.get(at)),
        wasm: format!("{:?}", wasm.get(at)),
    }))
}

/// Whether the text that is to be written says what was played, and otherwise what it did.
fn is_kept(
    deployment: &Deployment,
    scenario: &Scenario,
    after: &str,
    native: &Played,
) -> Result<(), String> {
    let refreshed = Scenario::parse(&scenario.file, after).map_err(|error| error.to_string())?;
    let broken = native.check(deployment, &refreshed).map_err(|error| error.to_string())?;
    if let Some(broken) = broken.first() {
        return Err(broken.to_string());
    }
    let same = refreshed.promise == scenario.promise
        && refreshed.why == scenario.why
        && refreshed.requests.len() == scenario.requests.len();
    if same { Ok(()) } else { Err("the promise or its requests changed".to_owned()) }
}
