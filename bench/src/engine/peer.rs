//! onnxruntime in a process of its own.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::memory::Memory;

/// The Python with onnxruntime, which `cargo xtask bench` provides.
const VARIABLE: &str = "BULKHEAD_ONNX_PYTHON";

/// How onnxruntime is asked to load a model.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Setting {
    pub(super) file: File,
    /// Whether weights are rearranged for its kernels when a model is loaded.
    pub(super) prepack: bool,
    pub(super) optimise: &'static str,
    /// Whether tensors come from an arena of its own.
    pub(super) arena: bool,
}

/// In which form a model lies on disk.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum File {
    /// One ONNX file.
    Single,
    /// An ONNX file with the weights beside it, which onnxruntime maps.
    External,
    /// onnxruntime's own format.
    Ort,
}

impl File {
    /// The file that a session is made of.
    pub(super) fn path(self, folder: &Path, model: usize) -> PathBuf {
        folder.join(match self {
            Self::Single => format!("{model}.onnx"),
            Self::External => format!("{model}.external.onnx"),
            Self::Ort => format!("{model}.ort"),
        })
    }

    /// All files that it is read from.
    pub(super) fn all(self, folder: &Path, model: usize) -> Vec<PathBuf> {
        let mut files = vec![self.path(folder, model)];
        if matches!(self, Self::External) {
            files.push(folder.join(format!("{model}.external.bin")));
        }
        files
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = match self.file {
            File::Single => "one file",
            File::External => "external data",
            File::Ort => "ORT format",
        };
        let prepack = if self.prepack { "prepacked" } else { "no prepacking" };
        let arena = if self.arena { "" } else { ", no arena" };
        write!(f, "{file}, {prepack}, optimisation {}{arena}", self.optimise)
    }
}

/// A first answer.
#[derive(Debug, Deserialize)]
pub(super) struct First {
    pub(super) load_ms: f64,
    pub(super) first_ms: f64,
    pub(super) answer: Vec<f32>,
}

pub(crate) struct Peer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(script: &Path) -> Result<Self> {
        let python = std::env::var_os(VARIABLE)
            .with_context(|| format!("expected {VARIABLE}: run this by `cargo xtask bench`"))?;
        let mut child = Command::new(python)
            .arg(script)
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start Python")?;
        let orders = child.stdin.take().context("expected a pipe to Python")?;
        let answers = BufReader::new(child.stdout.take().context("expected a pipe from Python")?);
        Ok(Self { child, orders, answers })
    }

    /// Gives an order and reads the answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, order: &Value) -> Result<T> {
        writeln!(self.orders, "{order}")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("onnxruntime's process ended over {order}");
        }
        serde_json::from_str(&line).with_context(|| format!("an answer to {order}: {line}"))
    }

    pub(crate) fn version(&mut self) -> Result<String> {
        let said: Value = self.ask(&json!({ "do": "version" }))?;
        Ok(said["version"].as_str().unwrap_or_default().to_owned())
    }

    pub(super) fn make(&mut self, folder: &Path, models: usize, widths: &[usize]) -> Result<()> {
        let order = json!({ "do": "make", "folder": folder, "models": models, "widths": widths });
        self.ask::<Value>(&order).map(drop)
    }

    /// Loads a model and lets it answer a batch of one; keeps it loaded where `keep` says so.
    pub(super) fn first(
        &mut self,
        path: &Path,
        setting: &Setting,
        width: usize,
        keep: bool,
    ) -> Result<First> {
        self.ask(&json!({
            "do": "first", "path": path, "setting": setting, "width": width, "keep": keep,
        }))
    }

    pub(super) fn open(&mut self, name: &str, path: &Path, setting: &Setting) -> Result<()> {
        let order = json!({ "do": "open", "name": name, "path": path, "setting": setting });
        self.ask::<Value>(&order).map(drop)
    }

    /// How long each of some answers took, in milliseconds.
    pub(super) fn answer(
        &mut self,
        name: &str,
        width: usize,
        batch: usize,
        times: usize,
    ) -> Result<Vec<f64>> {
        #[derive(Deserialize)]
        struct Times {
            times_ms: Vec<f64>,
        }
        let order =
            json!({ "do": "answer", "name": name, "width": width, "batch": batch, "times": times });
        Ok(self.ask::<Times>(&order)?.times_ms)
    }

    /// Lets go of every model.
    pub(super) fn forget(&mut self) -> Result<()> {
        self.ask::<Value>(&json!({ "do": "forget" })).map(drop)
    }

    pub(super) fn memory(&mut self) -> Result<Memory> {
        self.ask(&json!({ "do": "memory" }))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends with its input; it is killed in case it hangs, and nobody is left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
