//! The shared list of promises about who is let through, and what every way of running the
//! filters has to do with it.
//!
//! Each file in `tests/scenarios/` is one promise. The same files are run over the native core
//! ([`native`]), over the WebAssembly in wasmtime ([`wasm`]) and over real Envoy, by giving
//! [`run_all`] something that can send one request: a [`Runner`]. A runner knows nothing of what
//! is expected, so the three cannot disagree in silence.
//!
//! Start with [`mod@format`], which is what an author of a scenario needs.

pub mod check;
pub mod deployment;
pub mod format;
pub mod native;
pub mod token;
pub mod wasm;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

pub use deployment::Deployment;
pub use format::{Scenario, Target};

/// A header, as it is sent or as it arrived.
pub type Header = (String, Vec<u8>);

/// A request that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Where it is sent.
    pub target: Target,
    /// All of its headers, pseudo headers (`:method`, `:path`, `:scheme`, `:authority`) first. It
    /// has no body.
    pub headers: Vec<Header>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// It reached what stands behind the node's recheck, with these headers.
    Forwarded {
        /// The data plane whose node it reached.
        data_plane: String,
        /// The headers as they arrived there.
        headers: Vec<Header>,
    },
    /// A filter answered it.
    Denied {
        /// The HTTP status.
        status: u16,
        /// The answer's headers.
        headers: Vec<Header>,
        /// The answer's body.
        body: Vec<u8>,
    },
}

/// A way to run the filters: an ingress with the gate, which routes by the header
/// `x-bulkhead-cluster`, and a node with the recheck for each data plane.
///
/// The runner starts them with the tables of [`Deployment::gate_table`] and
/// [`Deployment::node_table`] and with [`Deployment::seal_key`] in the gate's environment.
/// Requests to the gate should be spread over at least two workers.
pub trait Runner {
    /// The time that the filters see, in Unix seconds.
    fn now(&self) -> u64;

    /// Sends one request and waits for what becomes of it.
    ///
    /// # Errors
    /// Where nothing can be said about it: a connection that failed, a filter that crashed.
    fn send(&mut self, request: &Prepared) -> Result<Observed>;
}

/// Reads every scenario, sorted by file name.
///
/// # Errors
/// Where a file cannot be read or is no scenario.
pub fn load_all() -> Result<Vec<Scenario>> {
    let folder = folder();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| {
        file.extension().is_some_and(|extension| extension == "yaml")
            && file.file_name().is_some_and(|name| name != deployment::FILE)
    });
    files.sort();
    if files.is_empty() {
        bail!("expected scenarios in {}, found none", folder.display());
    }
    files.iter().map(|file| Scenario::read(file)).collect()
}

/// Runs every scenario and reports all that did not hold.
///
/// # Errors
/// One error that names every broken promise, with what was expected and what was found.
pub fn run_all(deployment: &Deployment, runner: &mut dyn Runner) -> Result<()> {
    let mut broken = Vec::new();
    let scenarios = load_all()?;
    for scenario in &scenarios {
        if let Err(error) = run(deployment, scenario, runner) {
            broken.push(format!("{}: {}\n    {error:#}", scenario.name, scenario.promise));
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    bail!("{} of {} promises broken:\n{}", broken.len(), scenarios.len(), broken.join("\n"))
}

/// Runs one scenario.
///
/// # Errors
/// The first request that did not get what was promised.
pub fn run(deployment: &Deployment, scenario: &Scenario, runner: &mut dyn Runner) -> Result<()> {
    for (at, step) in scenario.requests.iter().enumerate() {
        let number = at + 1;
        let request = token::prepare(deployment, step, runner.now())
            .with_context(|| format!("request {number} cannot be prepared"))?;
        let mut observed = Vec::new();
        for _ in 0..step.repeat.unwrap_or(1) {
            let outcome = runner.send(&request);
            observed.push(outcome.with_context(|| format!("request {number} was not answered"))?);
        }
        check::check(deployment, &step.expect, &observed, runner.now())
            .with_context(|| format!("request {number}"))?;
    }
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}
