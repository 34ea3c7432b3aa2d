//! Holds what was seen against what was promised.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tenancy::{headers, problem};
use uuid::Uuid;

use crate::{
    Deployment, Error, Header, Observed, Said, Scenario,
    format::{Denied, Expectation, Forwarded, Outcome, Refused},
    play::{Played, Seen},
};

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: request {request}: expected {expected}, found {found}")]
pub struct Broken {
    /// The scenario's file.
    pub file: String,
    /// The line of the request.
    pub line: u64,
    /// Which of its requests, from 1.
    pub request: usize,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// What was expected and what was found.
#[derive(Debug)]
struct Mismatch {
    expected: String,
    found: String,
}

impl Mismatch {
    fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

macro_rules! hold {
    ($holds:expr, $expected:expr, $found:expr $(,)?) => {
        if !$holds {
            return Err(Mismatch::new($expected, $found));
        }
    };
}

impl Played {
    /// Whether it kept the promise of `scenario`, which was played in `deployment`.
    ///
    /// # Errors
    /// The deployment's key is none, which does not happen; else every request that did not get
    /// what was promised.
    pub fn check(
        &self,
        deployment: &Deployment,
        scenario: &Scenario,
    ) -> Result<Vec<Broken>, Error> {
        let checker = Checker { verifier: deployment.verifier()? };
        let steps = scenario.requests.iter().zip(&self.steps).enumerate();
        let broken = steps.filter_map(|(at, (step, seen))| {
            let Mismatch { expected, found } = checker.check(&step.expect, seen).err()?;
            let file = scenario.file.display().to_string();
            Some(Broken { file, line: step.line, request: at + 1, expected, found })
        });
        Ok(broken.collect())
    }
}

struct Checker {
    verifier: passport::Verifier,
}

impl Checker {
    fn check(&self, expected: &Expectation, seen: &Seen) -> Result<(), Mismatch> {
        match &expected.outcome {
            Outcome::Forwarded(expected) => {
                for one in &seen.observed {
                    self.forwarded(expected, one, seen.sent_at)?;
                }
            }
            Outcome::Denied(expected) => {
                seen.observed.iter().try_for_each(|one| denied(expected, one))?;
            }
            Outcome::Limited(limited) => {
                let (passed, others): (Vec<_>, Vec<_>) =
                    seen.observed.iter().partition(|one| matches!(one, Observed::Forwarded { .. }));
                hold!(
                    passed.len() == limited.forwarded,
                    format!("{} of {} to pass", limited.forwarded, seen.observed.len()),
                    format!("{}", passed.len()),
                );
                others.into_iter().try_for_each(|one| denied(&limited.others, one))?;
            }
            Outcome::Promoted => seen.observed.iter().try_for_each(promoted)?,
            Outcome::Refused(expected) => {
                seen.observed.iter().try_for_each(|one| refused(expected, one))?;
            }
        }
        request_ids_are_new(&seen.observed)?;
        counted(expected, seen)
    }

    fn forwarded(
        &self,
        expected: &Forwarded,
        observed: &Observed,
        now: u64,
    ) -> Result<(), Mismatch> {
        let (reached, arrived) = match observed {
            Observed::Forwarded { data_plane, headers } => (data_plane, headers),
            other => {
                let expected = format!("it to reach a node of `{}`", expected.data_plane);
                return Err(Mismatch::new(expected, in_a_line(other)));
            }
        };
        let plane = &expected.data_plane;
        hold!(reached == plane, format!("a node of `{plane}`"), format!("one of `{reached}`"));
        let token = only(arrived, headers::PASSPORT)?;
        let (passport, expires_at) = self
            .verifier
            .verify(&token, now)
            .map_err(|error| Mismatch::new("a passport that verifies", error.to_string()))?;
        let is = |what: &str, expected: &str, found: &str| {
            let told = || (format!("the passport of {what} `{expected}`"), format!("`{found}`"));
            if expected == found {
                return Ok(());
            }
            let (expected, found) = told();
            Err(Mismatch { expected, found })
        };
        is("tenant", &expected.tenant, passport.tenant.as_str())?;
        is("data plane", plane, passport.data_plane.as_str())?;
        if let Some(tier) = &expected.tier {
            is("tier", tier, passport.tier.as_str())?;
        }
        if let Some(most) = expected.passport_expires_within {
            let life = expires_at.saturating_sub(now);
            hold!(life <= most, format!("a passport of at most {most} s"), format!("{life} s"));
        }
        has(arrived, &expected.headers)?;
        for name in &expected.without {
            let there = values(arrived, name).next().is_some();
            hold!(!there, format!("no header `{name}` to arrive"), "it");
        }
        if let Some(text) = &expected.nowhere {
            for (name, value) in arrived {
                let value = String::from_utf8_lossy(value);
                let message = || format!("`{name}: {value}`");
                hold!(!value.contains(text), format!("`{text}` nowhere"), message());
            }
        }
        Ok(())
    }
}

/// Where requests came through the gate, each has an id of its own, a UUIDv7.
fn request_ids_are_new(observed: &[Observed]) -> Result<(), Mismatch> {
    let mut seen = BTreeSet::new();
    for one in observed {
        let Observed::Forwarded { headers: arrived, .. } = one else { continue };
        if values(arrived, headers::REQUEST_ID).next().is_none() {
            continue;
        }
        let text = only(arrived, headers::REQUEST_ID)?;
        let version = text.parse::<Uuid>().map_or(0, |id| id.get_version_num());
        hold!(version == 7, "a UUIDv7 as request id", format!("`{text}`"));
        hold!(seen.insert(text.clone()), "a new request id each time", format!("`{text}` again"));
    }
    Ok(())
}

/// What reaches a sidecar is billed: as many as were forwarded, and none of those that were not.
fn counted(expected: &Expectation, seen: &Seen) -> Result<(), Mismatch> {
    let forwarded =
        seen.observed.iter().filter(|one| matches!(one, Observed::Forwarded { .. })).count() as u64;
    let metered = expected.metered.unwrap_or(forwarded);
    let reached = seen.reached;
    hold!(
        metered == reached,
        format!("{metered} to reach a sidecar and be metered"),
        format!("{reached}"),
    );
    let told = |counts: &BTreeMap<String, u64>| match counts.is_empty() {
        true => "none".to_owned(),
        false => format!("{counts:?}"),
    };
    hold!(
        expected.shadow == seen.shadow,
        format!("shadow checks that would have denied it: {}", told(&expected.shadow)),
        told(&seen.shadow),
    );
    Ok(())
}

fn denied(expected: &Denied, observed: &Observed) -> Result<(), Mismatch> {
    let told = || match &expected.check {
        Some(check) => format!("{} {} by check `{check}`", expected.status, expected.code),
        None => format!("{} {}", expected.status, expected.code),
    };
    let (status, arrived, body) = match observed {
        Observed::Denied { status, headers, body } => (*status, headers, body),
        other => return Err(Mismatch::new(told(), in_a_line(other))),
    };
    let problem = Problem::of(body);
    let is_it = status == expected.status
        && problem.text("code") == expected.code
        && problem.text("check") == expected.check.as_deref().unwrap_or_default();
    hold!(is_it, told(), said(status, body));
    let is_whole = problem.0.get("status") == Some(&Value::from(status))
        && !problem.text("detail").is_empty()
        && !problem.text("revision").is_empty()
        && problem.text("error") == problem.text("detail");
    hold!(is_whole, "a problem with its status, detail, error and revision", said(status, body));
    if let Some(message) = &expected.message {
        let found = problem.text("detail");
        hold!(found == message, format!("the message `{message}`"), format!("`{found}`"));
    }
    let content_type = only(arrived, "content-type")?;
    let is_problem = content_type == problem::CONTENT_TYPE;
    hold!(is_problem, format!("content type `{}`", problem::CONTENT_TYPE), content_type);
    has(arrived, &expected.headers)?;
    expected.with.iter().try_for_each(|name| only(arrived, name).map(drop))
}

fn promoted(observed: &Observed) -> Result<(), Mismatch> {
    let is_promoted = matches!(observed, Observed::Promoted(_));
    hold!(is_promoted, "it to be promoted", in_a_line(observed));
    Ok(())
}

fn refused(expected: &Refused, observed: &Observed) -> Result<(), Mismatch> {
    let told = || match &expected.check {
        Some(check) => format!("a refusal by check `{check}`"),
        None => "a refusal by no check".to_owned(),
    };
    let Observed::Refused(said) = observed else {
        return Err(Mismatch::new(told(), in_a_line(observed)));
    };
    let is_its = |it: &&Said| it.check == expected.check;
    let is_by_no_check = expected.check.is_some() || said.iter().all(|it| is_its(&it));
    let is_it = is_by_no_check && said.iter().any(|it| is_its(&it));
    hold!(is_it, told(), in_a_line(observed));
    if let Some(message) = &expected.message {
        let is_said = said.iter().filter(is_its).any(|it| it.message == *message);
        hold!(is_said, format!("the message `{message}`"), in_a_line(observed));
    }
    Ok(())
}

/// What became of it, in a line.
fn in_a_line(observed: &Observed) -> String {
    match observed {
        Observed::Forwarded { data_plane, .. } => {
            format!("that it reached a node of `{data_plane}`")
        }
        Observed::Denied { status, body, .. } => said(*status, body),
        Observed::Promoted(_) => "that it is promoted".to_owned(),
        Observed::Refused(all) => {
            let words = all.iter().map(|it| match &it.check {
                Some(check) => format!("by check `{check}`: {}", it.message),
                None => it.message.clone(),
            });
            format!("a refusal {}", words.collect::<Vec<_>>().join("; and "))
        }
    }
}

/// A denial's body.
pub(crate) struct Problem(BTreeMap<String, Value>);

impl Problem {
    pub(crate) fn of(body: &[u8]) -> Self {
        Self(serde_json::from_slice(body).unwrap_or_default())
    }

    /// The text under `member`; empty where there is none.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.0.get(member).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A denial in a line.
fn said(status: u16, body: &[u8]) -> String {
    let problem = Problem::of(body);
    match (problem.text("code"), problem.text("check")) {
        ("", _) => format!("{status} `{}`", String::from_utf8_lossy(body)),
        (code, "") => format!("{status} {code}"),
        (code, check) => format!("{status} {code} by check `{check}`"),
    }
}

fn has(arrived: &[Header], expected: &BTreeMap<String, String>) -> Result<(), Mismatch> {
    for (name, value) in expected {
        let found = only(arrived, name)?;
        hold!(found == *value, format!("`{name}: {value}`"), format!("`{found}`"));
    }
    Ok(())
}

pub(crate) fn values<'a>(arrived: &'a [Header], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    arrived
        .iter()
        .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
}

/// The one value of `name`.
fn only(arrived: &[Header], name: &str) -> Result<String, Mismatch> {
    let found: Vec<_> = values(arrived, name).collect();
    match found.as_slice() {
        [value] => Ok(String::from_utf8_lossy(value).into_owned()),
        many => Err(Mismatch::new(format!("the header `{name}` once"), format!("{}", many.len()))),
    }
}
