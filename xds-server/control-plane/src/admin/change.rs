//! How resources are changed: planned, compiled into a table, tried on some proxies where that is
//! asked for, committed, pushed.

use std::time::Duration;

use policy_model::table::TableError;
use registry::{By, CanaryEnded, CanaryOutcome as Outcome, CanaryStarted, Edit, Plan, impact};
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument as _;

use super::{
    App,
    guard::Caller,
    problem::{Code, Members, Problem},
    wire::{self, Changed, ProxyRefusal},
};
use crate::canary::{CanaryOutcome, CanarySelection, HeldCanary};

/// How long proxies are given to try a change, where the request does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that a request may say, in seconds.
const MOST_PATIENCE_SECONDS: u32 = 300;

/// A change that somebody asks for.
pub(super) struct Asked {
    edit: Edit,
    expected_seq: Option<u64>,
    message: Option<String>,
    canary: Option<Trial>,
}

/// Who is to try it first.
struct Trial {
    selection: CanarySelection,
    patience: Duration,
}

impl Asked {
    pub(super) fn new(
        edit: Edit,
        expected_seq: Option<u64>,
        message: Option<String>,
        canary: Option<wire::Canary>,
    ) -> Result<Self, Problem> {
        let canary = canary.map(Trial::read).transpose()?;
        Ok(Self { edit, expected_seq, message, canary })
    }
}

impl Trial {
    fn read(canary: wire::Canary) -> Result<Self, Problem> {
        let malformed = |expected: String| Problem::new(Code::Malformed, expected);
        let selection = match (canary.percent, canary.proxy) {
            (Some(percent @ 1..=100), None) => CanarySelection::Percent(percent),
            (None, Some(proxy)) if !proxy.is_empty() => CanarySelection::Proxy(proxy),
            (Some(percent), None) => {
                return Err(malformed(format!("expected a percent of 1 to 100, found {percent}")));
            }
            _ => {
                let either = "expected either `percent` or `proxy` in canary";
                return Err(malformed(either.to_owned()));
            }
        };
        let patience = match canary.patience_seconds {
            None => PATIENCE,
            Some(seconds @ 1..=MOST_PATIENCE_SECONDS) => Duration::from_secs(seconds.into()),
            Some(seconds) => {
                return Err(malformed(format!(
                    "expected patience_seconds of 1 to {MOST_PATIENCE_SECONDS}, found {seconds}"
                )));
            }
        };
        Ok(Self { selection, patience })
    }

    fn words(&self) -> String {
        match &self.selection {
            CanarySelection::Percent(percent) => format!("{percent} % of the proxies"),
            CanarySelection::Proxy(proxy) => format!("proxy {proxy}"),
        }
    }
}

/// What a change would do.
pub(super) async fn preview(app: &App, asked: &Asked) -> Result<Changed, Problem> {
    let plan = app.registry.plan(&asked.edit, asked.expected_seq).await?;
    let revision = compiled(app, &plan)?;
    let seq = plan.base_seq;
    Ok(Changed { dry_run: true, ..told(&plan, revision, seq) })
}

/// Makes a change. Whoever asked may go away: what was begun is brought to an end.
pub(super) async fn make(app: App, caller: Caller, asked: Asked) -> Result<Changed, Problem> {
    let made = async move {
        // A change beside a trial would be pushed to the proxies that try, and end the trial.
        let Ok(turn) = app.canary.clone().try_lock_owned() else { return Err(running(&app)) };
        match &asked.canary {
            None => {
                drop(turn);
                commit(&app, &caller, &asked).await
            }
            Some(trial) => tried(&app, &caller, &asked, trial, turn).await,
        }
    };
    let task = tokio::spawn(made.in_current_span());
    task.await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

async fn commit(app: &App, caller: &Caller, asked: &Asked) -> Result<Changed, Problem> {
    let turn = app.registry.turn().await;
    let plan = app.registry.plan(&asked.edit, asked.expected_seq).await?;
    let revision = compiled(app, &plan)?;
    let changed = told(&plan, revision.clone(), plan.base_seq);
    let applied = turn.commit(plan, by(caller, asked, revision)).await?;
    published(app, Changed { seq: applied.seq, ..changed })
}

/// Tries a change on some proxies and commits it where they take it. The journal keeps that it was
/// tried, by whom, and what came of it.
async fn tried(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    trial: &Trial,
    _turn: OwnedMutexGuard<()>,
) -> Result<Changed, Problem> {
    let plan = app.registry.plan(&asked.edit, asked.expected_seq).await?;
    let revision = compiled(app, &plan)?;
    let changed = told(&plan, revision.clone(), plan.base_seq);
    if !plan.changes_something() {
        return published(app, changed);
    }
    let started = CanaryStarted {
        selection: trial.words(),
        revision: Some(revision.clone()),
        message: asked.message.clone(),
        changes: plan.words(),
    };
    let started_seq = app.registry.canary_started(&caller.name, started).await?;
    let outcome = app.publisher.canary(&plan.resolved, &trial.selection, trial.patience).await;
    let ended = Ended::of(outcome);
    let event = CanaryEnded { started_seq, outcome: ended.outcome, details: ended.details };
    app.registry.canary_ended(&caller.name, event).await?;
    // Kept until everybody has it, so that the proxies that took it do not go back in between.
    let (canaries, _held) = ended.result?;
    let turn = app.registry.turn().await;
    let applied = turn.commit(plan, by(caller, asked, revision)).await?;
    published(app, Changed { seq: applied.seq, canaries, ..changed })
}

/// How a trial ended: for the journal, and for who asked.
struct Ended {
    outcome: Outcome,
    details: Vec<String>,
    result: Result<(Vec<String>, HeldCanary), Problem>,
}

impl Ended {
    fn of(outcome: Result<CanaryOutcome, TableError>) -> Self {
        match outcome {
            Ok(CanaryOutcome::Accepted { proxies, held }) => Self {
                outcome: Outcome::Accepted,
                details: proxies.iter().map(|proxy| format!("{proxy} took it")).collect(),
                result: Ok((proxies, held)),
            },
            Ok(CanaryOutcome::Refused { refusals, unsettled }) => {
                Self::refused(refusals.into_iter().flat_map(in_words).collect(), unsettled)
            }
            Ok(CanaryOutcome::NoAnswer { proxies, .. }) => {
                let detail = format!(
                    "expected {} to take the change in time, found no answer; nothing was written, \
                     and they are sent what they had; see `bulkhead status`",
                    proxies.join(", ")
                );
                Self {
                    outcome: Outcome::Unanswered,
                    details: proxies.iter().map(|it| format!("{it} did not answer")).collect(),
                    result: Err(with_proxies(Code::CanaryUnanswered, detail, proxies)),
                }
            }
            Ok(CanaryOutcome::Nobody { connected }) => {
                let detail = "expected a connected proxy to try the change, found none that is \
                              meant; `proxies` names those that are connected";
                Self::abandoned(with_proxies(Code::CanaryNobody, detail.to_owned(), connected))
            }
            Err(error) => Self::abandoned(table_refused(&error)),
        }
    }

    fn refused(refusals: Vec<ProxyRefusal>, unsettled: Vec<String>) -> Self {
        let words =
            |it: &ProxyRefusal| format!("{} refused {}: {}", it.proxy, it.resource, it.message);
        let details: Vec<String> = refusals.iter().map(words).collect();
        let mut detail = format!(
            "{}; nothing was written, and what was in force before is again",
            details.join("; ")
        );
        if !unsettled.is_empty() {
            detail.push_str(&format!(", but for {}, who did not say so yet", unsettled.join(", ")));
        }
        let members = Members { refusals, proxies: unsettled, ..Members::default() };
        let problem = Problem::new(Code::CanaryRefused, detail).with(members);
        Self { outcome: Outcome::Refused, details, result: Err(problem) }
    }

    fn abandoned(problem: Problem) -> Self {
        let details = vec![problem.detail().to_owned()];
        Self { outcome: Outcome::Abandoned, details, result: Err(problem) }
    }
}

/// A refusal names the resources that the proxy's words are about, or else what type they are of.
fn in_words(refused: xds::RefusedBy) -> Vec<ProxyRefusal> {
    let xds::RefusedBy { node, type_url, refusal } = refused;
    let of_type = type_url.rsplit('.').next().unwrap_or_default().to_owned();
    let named = if refusal.resources.is_empty() { vec![of_type] } else { refusal.resources };
    let message = refusal.message;
    let tell = |resource| ProxyRefusal { proxy: node.clone(), resource, message: message.clone() };
    named.into_iter().map(tell).collect()
}

/// The revision of the gate's table with the plan, so that what does not fit into one is refused
/// before it is written.
fn compiled(app: &App, plan: &Plan) -> Result<String, Problem> {
    let candidate = app.publisher.candidate(&plan.resolved, |_| Vec::new());
    candidate.map(|(revision, _)| revision).map_err(|error| table_refused(&error))
}

fn published(app: &App, changed: Changed) -> Result<Changed, Problem> {
    let revision = app.publisher.publish().map_err(|error| {
        // It was compiled a moment ago, so only keys that came meanwhile can be why.
        Problem::internal(&format!("entry {} was written but not pushed: {error}", changed.seq))
    })?;
    Ok(Changed { revision, ..changed })
}

fn told(plan: &Plan, revision: String, seq: u64) -> Changed {
    Changed {
        revision,
        seq,
        changes: plan.words(),
        warnings: plan.warnings.clone(),
        dry_run: false,
        tenants: impact(&plan.before, &plan.resolved).into_iter().map(Into::into).collect(),
        canaries: Vec::new(),
    }
}

fn by(caller: &Caller, asked: &Asked, revision: String) -> By {
    By { actor: caller.name.clone(), message: asked.message.clone(), revision: Some(revision) }
}

fn table_refused(error: &TableError) -> Problem {
    Problem::new(Code::TableRefused, format!("the resources do not fit into a table: {error}"))
}

fn with_proxies(code: Code, detail: String, proxies: Vec<String>) -> Problem {
    Problem::new(code, detail).with(Members { proxies, ..Members::default() })
}

fn running(app: &App) -> Problem {
    let which = app.registry.state().canary.map(|seq| format!(" (journal entry {seq})"));
    let detail = format!(
        "expected no change under trial, found one{}; wait until it has ended, then look at what \
         came of it",
        which.unwrap_or_default()
    );
    Problem::new(Code::CanaryRunning, detail)
}
