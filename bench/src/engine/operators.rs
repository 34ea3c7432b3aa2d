//! How many of ONNX's tests of operators pass: what a test of `inference` measured and holds.

use anyhow::{Context, Result};
use serde::Serialize;

const TABLE: &str = include_str!("../../../sidecar/inference/tests/onnx_nodes/table.txt");

/// Counts of tests.
#[derive(Debug, Serialize)]
pub(super) struct Operators {
    pub(super) tests: usize,
    pub(super) ours: usize,
    /// By tract without Bulkhead around it.
    pub(super) tract: usize,
}

impl Operators {
    pub(super) fn read() -> Result<Self> {
        let count = |key: &str| -> Result<usize> {
            let line = TABLE.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|rest| rest.trim().parse().ok());
            number.with_context(|| format!("expected a line `{key} NUMBER` in the table"))
        };
        let (tests, ours, tract) =
            (count("# tests:")?, count("# pass:")?, count("# pass by tract alone:")?);
        Ok(Self { tests, ours, tract })
    }
}
