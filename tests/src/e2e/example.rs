//! The flights example as its README documents it: one request, and the answer that each of some
//! tenants gets to it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use devstack::environment;
use serde_json::{Value, json};

/// The path of a prediction.
pub const INFER: &str = "/v2/models/air-time/infer";

/// The documented answers were made by another runtime, and are rounded to two digits.
const TOLERANCE_MINUTES: f64 = 0.02;

/// The documented request and its answers.
#[derive(Debug, Clone)]
pub struct Example {
    request: Value,
    minutes: BTreeMap<String, f64>,
}

impl Example {
    /// Reads `examples/flights/README.md`.
    ///
    /// # Errors
    /// Where the request or the answers are not in it.
    pub fn read() -> Result<Self> {
        let file = environment::repository().join("examples/flights/README.md");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let (_, request) = text.split_once("```json\n").context("no request in the README")?;
        let (request, _) = request.split_once("```").context("a block without an end")?;
        let minutes = text.lines().filter_map(documented_answer).collect();
        Ok(Self { request: serde_json::from_str(request)?, minutes })
    }

    /// The request, for one flight.
    pub fn request(&self) -> &Value {
        &self.request
    }

    /// The request, for the same flight `rows` times.
    pub fn rows(&self, rows: usize) -> Value {
        let mut request = self.request.clone();
        for input in request["inputs"].as_array_mut().into_iter().flatten() {
            let one = input["data"][0].clone();
            input["data"] = json!(vec![one; rows]);
            input["shape"] = json!([rows, 1]);
        }
        request
    }

    /// The request with one field of one input changed: `shape`, `datatype`, `data` or `name`.
    pub fn with(&self, input: &str, field: &str, value: Value) -> Value {
        let mut request = self.request.clone();
        let inputs = request["inputs"].as_array_mut().into_iter().flatten();
        for found in inputs.filter(|it| it["name"] == input) {
            found[field] = value.clone();
        }
        request
    }

    /// What a tenant is documented to get, in minutes.
    ///
    /// # Errors
    /// Where nothing is documented for it.
    pub fn minutes(&self, tenant: &str) -> Result<f64> {
        let found = self.minutes.get(tenant).copied();
        found.with_context(|| format!("no documented answer for {tenant}"))
    }

    /// Fails where `answer` is not what `tenant` is documented to get, `rows` times.
    ///
    /// # Errors
    /// With what was found.
    pub fn check(&self, tenant: &str, rows: usize, answer: &Value) -> Result<()> {
        let expected = self.minutes(tenant)?;
        let output = &answer["outputs"][0];
        let is_whole = output["name"] == "air_time"
            && output["datatype"] == "FP32"
            && output["shape"] == json!([rows, 1]);
        ensure!(is_whole, "{tenant}: expected {rows} rows of air_time, found {answer}");
        let data = output["data"].as_array().context("no data")?;
        let is_right = |it: &Value| {
            it.as_f64().is_some_and(|minutes| (minutes - expected).abs() <= TOLERANCE_MINUTES)
        };
        ensure!(
            data.len() == rows && data.iter().all(is_right),
            "{tenant}: expected {rows} times {expected} minutes, found {answer}"
        );
        Ok(())
    }
}

/// Reads "| `org_ua` | pooled | 333.97 |".
fn documented_answer(line: &str) -> Option<(String, f64)> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, tenant, _, minutes, _] = cells.as_slice() else { return None };
    let tenant = tenant.strip_prefix('`')?.strip_suffix('`')?;
    tenant.starts_with("org_").then(|| Some((tenant.to_owned(), minutes.parse().ok()?)))?
}
