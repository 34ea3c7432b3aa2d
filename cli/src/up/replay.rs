//! The replay: every tenant's clients at once, each at its tenant's pace.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use devstack::stack::Stack;
use hyper::StatusCode;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{
    caller::{Connections, Pacer},
    flights::{Flights, Question},
    progress::Progress,
    tenants::Tenant,
};

/// How many flights each request asks about, over and over: mostly one, as a booking page would,
/// and now and then a batch, so that requests and metered units differ.
const FLIGHTS_A_REQUEST: [usize; 4] = [1, 1, 1, 5];

const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// How large a replay is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Requests of each tenant, at most.
    pub(super) requests: usize,
    /// Clients of each tenant.
    pub(super) clients: usize,
}

/// What became of a tenant's requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// How long each served request took, in no order.
    pub(super) latencies: Vec<Duration>,
    /// Predictions served.
    pub(super) units: u64,
    /// The sum of |predicted - actual| / actual.
    pub(super) relative_error: f64,
    /// Requests refused by the rate limit.
    pub(super) refused: u64,
    /// Requests that failed.
    pub(super) failed: u64,
    /// The first failure, in words.
    pub(super) failure: Option<String>,
    /// The versions that answered.
    pub(super) versions: Vec<String>,
}

impl Outcome {
    /// Requests sent.
    pub(super) fn requests(&self) -> u64 {
        u64::try_from(self.latencies.len()).unwrap_or(u64::MAX) + self.refused + self.failed
    }
}

/// Outcomes by tenant.
pub(super) type Outcomes = BTreeMap<String, Outcome>;

/// What a tenant's clients share.
struct Lane {
    tenant: Tenant,
    url: String,
    issuer: String,
    output: String,
    pacer: Pacer,
    questions: Mutex<std::vec::IntoIter<Question>>,
    outcome: Mutex<Outcome>,
}

/// Asks about the tenants' flights and returns what became of it.
pub(super) async fn replay(
    stack: &Stack,
    tenants: &[Tenant],
    flights: &Flights,
    size: Size,
) -> Result<Outcomes> {
    let mut lanes = Vec::new();
    let mut total = 0;
    for tenant in tenants {
        let questions = flights.questions(&tenant.carrier, &FLIGHTS_A_REQUEST, size.requests)?;
        total += questions.len();
        lanes.push(Arc::new(Lane::new(stack, tenant, flights, questions)));
    }
    let clients = size.clients.max(1);
    println!(
        "replaying {total} requests about held-out flights: {} tenants with {clients} clients each",
        lanes.len()
    );
    let progress = Arc::new(Progress::new(total));
    let started = Instant::now();
    tokio::select! {
        ran = run(&lanes, clients, &progress) => ran?,
        () = progress.show() => {}
    }
    eprintln!(
        "\rreplayed {total} requests in {:.1} s            ",
        started.elapsed().as_secs_f64()
    );
    Ok(lanes.iter().map(|lane| (lane.tenant.id.clone(), lock(&lane.outcome).clone())).collect())
}

async fn run(lanes: &[Arc<Lane>], clients: usize, progress: &Arc<Progress>) -> Result<()> {
    let mut running = JoinSet::new();
    for lane in lanes {
        for _ in 0..clients {
            let (lane, progress) = (Arc::clone(lane), Arc::clone(progress));
            running.spawn(async move { lane.client(&progress).await });
        }
    }
    while let Some(client) = running.join_next().await {
        client??;
    }
    Ok(())
}

impl Lane {
    fn new(stack: &Stack, tenant: &Tenant, flights: &Flights, questions: Vec<Question>) -> Self {
        Self {
            url: format!("{}/v2/models/{}/infer", stack.ingress_url(), tenant.public_name),
            issuer: stack.issuer().issuer_url(&tenant.id),
            output: flights.output().to_owned(),
            pacer: Pacer::new(tenant.pace),
            questions: Mutex::new(questions.into_iter()),
            outcome: Mutex::default(),
            tenant: tenant.clone(),
        }
    }

    async fn client(&self, progress: &Progress) -> Result<()> {
        let connections = Connections::new();
        let token = connections
            .token(&self.issuer, TOKEN_LIFE)
            .await
            .with_context(|| format!("a token for {}", self.tenant.id))?;
        loop {
            let Some(question) = lock(&self.questions).next() else {
                return Ok(());
            };
            self.pacer.turn().await;
            let asked = Instant::now();
            let answer = connections.ask(&self.url, &token, question.body.clone()).await;
            self.record(answer, asked.elapsed(), &question);
            progress.add();
        }
    }

    fn record(&self, answer: Result<(StatusCode, Bytes)>, latency: Duration, question: &Question) {
        let answered = match answer {
            Ok((StatusCode::TOO_MANY_REQUESTS, _)) => {
                lock(&self.outcome).refused += 1;
                return;
            }
            Ok((StatusCode::OK, body)) => read(&body, &self.output, question.air_times.len()),
            Ok((status, body)) => {
                Err(anyhow::anyhow!("answered {status}: {}", String::from_utf8_lossy(&body)))
            }
            Err(error) => Err(error),
        };
        let mut outcome = lock(&self.outcome);
        match answered {
            Ok(answer) => outcome.add(&answer, latency, &question.air_times),
            Err(error) => {
                outcome.failed += 1;
                outcome.failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}

impl Outcome {
    fn add(&mut self, answer: &Prediction, latency: Duration, air_times: &[f64]) {
        self.latencies.push(latency);
        self.units += u64::try_from(air_times.len()).unwrap_or(u64::MAX);
        for (predicted, actual) in answer.minutes.iter().zip(air_times) {
            self.relative_error += (predicted - actual).abs() / actual;
        }
        if !self.versions.contains(&answer.version) {
            self.versions.push(answer.version.clone());
        }
    }
}

struct Prediction {
    version: String,
    minutes: Vec<f64>,
}

/// Reads an answer of the Open Inference Protocol v2.
fn read(body: &[u8], output: &str, rows: usize) -> Result<Prediction> {
    #[derive(Deserialize)]
    struct Answer {
        model_version: Option<String>,
        outputs: Vec<Output>,
    }
    #[derive(Deserialize)]
    struct Output {
        name: String,
        data: Vec<f64>,
    }
    let answer: Answer = serde_json::from_slice(body).with_context(|| {
        format!("expected a prediction, found {}", String::from_utf8_lossy(body))
    })?;
    let found = answer.outputs.into_iter().find(|it| it.name == output);
    let minutes = found.with_context(|| format!("expected an output `{output}`, found none"))?.data;
    if minutes.len() != rows {
        bail!("expected {rows} predictions, found {}", minutes.len());
    }
    Ok(Prediction { version: answer.model_version.unwrap_or_default(), minutes })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_too_few_predictions_is_a_failure_and_not_a_small_success() {
        let body = r#"{"model_version":"1","outputs":[{"name":"air_time","data":[50.5]}]}"#;
        let read = |rows| read(body.as_bytes(), "air_time", rows);
        assert_eq!(read(1).unwrap().minutes, [50.5]);
        assert!(read(2).is_err());
    }
}
