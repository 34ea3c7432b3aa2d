//! Plays a scenario: what became of each of its requests, whatever was expected.

use std::collections::{BTreeMap, BTreeSet};

use tenancy::headers;

use crate::{
    Deployment, Error, Observed, Prepared, Runner, Said, Scenario,
    format::{Ask, Promotion, Step, Time},
    prepare,
};

/// When a scenario begins that does not say when: 2026-06-01T12:00:00Z, a Monday.
const DEFAULT_START: u64 = 1_780_315_200;

/// What became of a scenario's requests, in their order.
#[derive(Debug, Clone)]
pub struct Played {
    /// For each request of the scenario.
    pub steps: Vec<Seen>,
}

/// What became of one request and its repetitions.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it was sent, in Unix seconds.
    pub sent_at: u64,
    /// What became of each repetition.
    pub observed: Vec<Observed>,
    /// How often each check in shadow would have denied it. Checks that would not are not here.
    pub shadow: BTreeMap<String, u64>,
    /// How many repetitions reached what stands behind the nodes.
    pub reached: u64,
}

/// Plays `scenario`, which starts from `deployment`, over `runner`.
///
/// # Errors
/// Where a request cannot be made, or nothing can be said about what became of it.
pub fn play(
    deployment: &Deployment,
    scenario: &Scenario,
    runner: &mut dyn Runner,
) -> Result<Played, Error> {
    let mut deployment = deployment.with(&scenario.given)?;
    let start = scenario.at.and_then(|at| u64::try_from(at.as_second()).ok());
    runner.begin(&deployment, start.unwrap_or(DEFAULT_START))?;
    let mut last = None;
    let mut steps = Vec::new();
    for step in &scenario.requests {
        let played = play_step(&mut deployment, step, &mut last, runner);
        let file = || scenario.file.display().to_string();
        steps.push(played.map_err(|error| match error {
            placed @ (Error::Mistakes(_) | Error::At { .. }) => placed,
            other => Error::At { file: file(), line: step.line, source: Box::new(other) },
        })?);
    }
    Ok(Played { steps })
}

fn play_step(
    deployment: &mut Deployment,
    step: &Step,
    last: &mut Option<Prepared>,
    runner: &mut dyn Runner,
) -> Result<Seen, Error> {
    if !step.apply.is_empty() {
        *deployment = deployment.with(&step.apply)?;
        runner.push(deployment)?;
    }
    if let Some(at) = due(step, runner.now()) {
        runner.go_to(at)?;
    }
    let sent_at = runner.now();
    let (shadow, reached) = (runner.shadow_failures()?, runner.reached()?);
    let observed = match &step.ask {
        Ask::Promote(promotion) => vec![promote(deployment, promotion, runner)?],
        Ask::Send(request) => {
            let request = last.insert(prepare(deployment, request, sent_at)?);
            sent(request, step.repeat, runner)?
        }
        Ask::Again => {
            let before = last.as_ref();
            let request = before.ok_or_else(|| Error::request("expected a request before it"))?;
            sent(request, step.repeat, runner)?
        }
    };
    let mut shadow = risen(&shadow, runner.shadow_failures()?);
    for check in observed.iter().flat_map(warned) {
        *shadow.entry(check).or_default() += 1;
    }
    let reached = runner.reached()?.saturating_sub(reached);
    Ok(Seen { sent_at, observed, shadow, reached })
}

fn sent(request: &Prepared, times: usize, runner: &mut dyn Runner) -> Result<Vec<Observed>, Error> {
    (0..times).map(|_| runner.send(request)).collect()
}

/// Asks for a promotion, and puts in force what is let through.
fn promote(
    deployment: &mut Deployment,
    promotion: &Promotion,
    runner: &mut dyn Runner,
) -> Result<Observed, Error> {
    let resources = deployment.promoting(promotion)?;
    let observed = runner.promote(&resources, &promotion.tenant)?;
    if matches!(observed, Observed::Promoted(_)) {
        *deployment = deployment.of_these(resources)?;
        runner.push(deployment)?;
    }
    Ok(observed)
}

/// The checks in shadow that would have refused a promotion.
fn warned(observed: &Observed) -> Vec<String> {
    match observed {
        Observed::Promoted(warnings) => warnings.iter().filter_map(|it| it.check.clone()).collect(),
        _ => Vec::new(),
    }
}

fn due(step: &Step, now: u64) -> Option<u64> {
    match step.time {
        Time::Now => None,
        Time::After(after) => Some(now.saturating_add_signed(after.as_secs())),
        Time::At(at) => u64::try_from(at.as_second()).ok(),
    }
}

fn risen(before: &BTreeMap<String, u64>, after: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let was = |check: &String| before.get(check).copied().unwrap_or(0);
    let risen = after.into_iter().map(|(check, count)| {
        let by = count.saturating_sub(was(&check));
        (check, by)
    });
    risen.filter(|(_, by)| *by > 0).collect()
}

/// What was decided, without what differs from run to run: the part of an [`Observed`] that every
/// way of running must agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It reached a node of this data plane, under this tenant's passport.
    Forwarded {
        /// The data plane.
        data_plane: String,
        /// The tenant, where a passport came along.
        tenant: Option<String>,
        /// The names of Bulkhead's own headers that came along.
        internal: BTreeSet<String>,
    },
    /// It was denied.
    Denied {
        /// The HTTP status.
        status: u16,
        /// The problem, but for the revision.
        problem: BTreeMap<String, serde_json::Value>,
    },
    /// It was promoted, or was not, with what was said of it.
    Promotion {
        /// Whether it was.
        promoted: bool,
        /// What was said of it.
        said: Vec<Said>,
    },
}

/// What was decided on one request and its repetitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// On each repetition.
    pub decisions: Vec<Decision>,
    /// How often each check in shadow would have denied it.
    pub shadow: BTreeMap<String, u64>,
}

impl Played {
    /// What was decided on every request, and counted beside it.
    ///
    /// # Errors
    /// Where the deployment's key is none, which it is not.
    pub fn decisions(&self, deployment: &Deployment) -> Result<Vec<Decided>, Error> {
        let verifier = deployment.verifier()?;
        let decide = |seen: &Seen| {
            let decisions = seen.observed.iter().map(|it| decision(it, &verifier, seen.sent_at));
            Decided { decisions: decisions.collect(), shadow: seen.shadow.clone() }
        };
        Ok(self.steps.iter().map(decide).collect())
    }
}

fn decision(observed: &Observed, verifier: &passport::Verifier, now: u64) -> Decision {
    match observed {
        Observed::Forwarded { data_plane, headers: arrived } => {
            let passport = arrived.iter().find(|(name, _)| name == headers::PASSPORT);
            let passport = passport.and_then(|(_, token)| std::str::from_utf8(token).ok());
            let tenant = passport.and_then(|token| verifier.verify(token, now).ok());
            let internal = arrived.iter().map(|(name, _)| name.to_ascii_lowercase());
            Decision::Forwarded {
                data_plane: data_plane.clone(),
                tenant: tenant.map(|(passport, _)| passport.tenant.to_string()),
                internal: internal.filter(|name| headers::is_internal(name.as_bytes())).collect(),
            }
        }
        Observed::Denied { status, body, .. } => {
            let mut problem: BTreeMap<_, _> = serde_json::from_slice(body).unwrap_or_default();
            problem.remove("revision");
            Decision::Denied { status: *status, problem }
        }
        Observed::Promoted(said) => Decision::Promotion { promoted: true, said: said.clone() },
        Observed::Refused(said) => Decision::Promotion { promoted: false, said: said.clone() },
    }
}
