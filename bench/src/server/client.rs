//! The driver of the public client, which does as it is told line by line.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use devstack::environment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Protocol, python::Python};

/// One load on one server for a while.
#[derive(Debug, Serialize)]
pub(super) struct Slot {
    pub(super) protocol: Protocol,
    pub(super) address: String,
    /// Whether tensors are bytes over HTTP.
    pub(super) binary: bool,
    pub(super) headers: BTreeMap<&'static str, String>,
    pub(super) rows: u32,
    pub(super) connections: usize,
    pub(super) seconds: f64,
    /// What every row has to be answered with.
    pub(super) minutes: f64,
    pub(super) flight: Value,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Measured {
    pub(super) answers: u64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

#[derive(Deserialize)]
struct Line {
    error: Option<String>,
    answers: u64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

/// The driver's process, which ends with its standard input.
pub(super) struct Client {
    process: Child,
    asked: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Client {
    pub(super) fn start() -> Result<Self> {
        let repository = environment::repository();
        let requirements = repository.join("tests/clients/requirements.txt");
        let python = Python::provide("clients", &requirements, None)?;
        let mut process = Command::new(python.program())
            .arg(repository.join("bench/server/client.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start the client")?;
        let asked = process.stdin.take();
        let answers = process.stdout.take().context("a client without an output")?;
        Ok(Self { process, asked, answers: BufReader::new(answers) })
    }

    pub(super) fn measure(&mut self, slot: &Slot) -> Result<Measured> {
        let asked = self.asked.as_mut().context("a client without an input")?;
        writeln!(asked, "{}", serde_json::to_string(slot)?)?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let line: Line = serde_json::from_str(&line)
            .with_context(|| format!("the client ended, or said `{line}`"))?;
        match (line.error, line.p50_us, line.p99_us) {
            (None, Some(p50_us), Some(p99_us)) => {
                Ok(Measured { answers: line.answers, p50_us, p99_us })
            }
            (error, ..) => bail!("{}", error.unwrap_or_else(|| "no quantiles".to_owned())),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.asked = None;
        let _ = self.process.wait();
    }
}
