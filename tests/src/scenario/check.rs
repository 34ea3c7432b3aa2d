//! Holds what was observed against what was promised.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tenancy::{headers, problem};
use uuid::Uuid;

use super::{
    Deployment, Header, Observed,
    format::{Denied, Expectation, Forwarded},
};

/// Checks all repetitions of one request, at `now` (Unix seconds).
///
/// # Errors
/// What was expected and what was found.
pub fn check(
    deployment: &Deployment,
    expected: &Expectation,
    observed: &[Observed],
    now: u64,
) -> Result<()> {
    match expected {
        Expectation::Forwarded(expected) => {
            for one in observed {
                forwarded(deployment, expected, one, now)?;
            }
            request_ids_are_new(observed)
        }
        Expectation::Denied(expected) => observed.iter().try_for_each(|one| denied(expected, one)),
        Expectation::Limited(limited) => {
            let (passed, others): (Vec<_>, Vec<_>) =
                observed.iter().partition(|one| matches!(one, Observed::Forwarded { .. }));
            ensure!(
                passed.len() == limited.forwarded,
                "expected {} of {} to pass, found {}",
                limited.forwarded,
                observed.len(),
                passed.len()
            );
            others.into_iter().try_for_each(|one| denied(&limited.others, one))
        }
    }
}

fn forwarded(
    deployment: &Deployment,
    expected: &Forwarded,
    observed: &Observed,
    now: u64,
) -> Result<()> {
    let (reached, arrived) = match observed {
        Observed::Forwarded { data_plane, headers } => (data_plane, headers),
        Observed::Denied { status, body, .. } => {
            bail!("expected it to pass, found {status} {}", String::from_utf8_lossy(body))
        }
    };
    ensure!(
        *reached == expected.data_plane,
        "expected a node of `{}`, found it at `{reached}`",
        expected.data_plane
    );
    let token = only(arrived, headers::PASSPORT)?;
    let (passport, expires_at) = deployment.verifier()?.verify(&token, now)?;
    ensure!(
        passport.tenant.as_str() == expected.tenant,
        "expected the passport of `{}`, found that of `{}`",
        expected.tenant,
        passport.tenant
    );
    ensure!(
        passport.data_plane.as_str() == expected.data_plane,
        "expected a passport for `{}`, found one for `{}`",
        expected.data_plane,
        passport.data_plane
    );
    if let Some(tier) = &expected.tier {
        ensure!(passport.tier.as_str() == tier, "expected {tier}, found {}", passport.tier);
    }
    if let Some(most) = expected.passport_expires_within {
        let life = expires_at.saturating_sub(now);
        ensure!(life <= most, "expected a passport of at most {most} s, found {life} s");
    }
    for (name, value) in &expected.headers {
        let found = only(arrived, name)?;
        ensure!(found == *value, "expected `{name}: {value}`, found `{found}`");
    }
    for name in &expected.without {
        ensure!(values(arrived, name).next().is_none(), "expected no `{name}`, found it");
    }
    if let Some(text) = &expected.nowhere {
        for (name, value) in arrived {
            let value = String::from_utf8_lossy(value);
            ensure!(!value.contains(text), "expected `{text}` nowhere, found `{name}: {value}`");
        }
    }
    Ok(())
}

/// Where requests came through the gate, each has an id of its own, a UUIDv7.
fn request_ids_are_new(observed: &[Observed]) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for one in observed {
        let Observed::Forwarded { headers: arrived, .. } = one else { continue };
        if values(arrived, headers::REQUEST_ID).next().is_none() {
            continue;
        }
        let text = only(arrived, headers::REQUEST_ID)?;
        let id: Uuid = text.parse().with_context(|| format!("request id `{text}`"))?;
        ensure!(id.get_version_num() == 7, "expected a UUIDv7 as request id, found `{id}`");
        ensure!(seen.insert(id), "request id `{id}` was given twice");
    }
    Ok(())
}

fn denied(expected: &Denied, observed: &Observed) -> Result<()> {
    let (status, arrived, body) = match observed {
        Observed::Denied { status, headers, body } => (*status, headers, body),
        Observed::Forwarded { data_plane, .. } => bail!(
            "expected {} {}, found that it reached a node of `{data_plane}`",
            expected.status,
            expected.code
        ),
    };
    let shown = String::from_utf8_lossy(body);
    let problem: BTreeMap<String, Value> = serde_json::from_slice(body)
        .with_context(|| format!("expected a problem, found {status} `{shown}`"))?;
    let says = |member: &str| problem.get(member).cloned().unwrap_or_default();
    ensure!(
        status == expected.status && says("code") == expected.code.as_str(),
        "expected {} {}, found {status} {shown}",
        expected.status,
        expected.code
    );
    ensure!(says("status") == status, "the problem says another status: {shown}");
    ensure!(says("error") == says("detail"), "`error` and `detail` differ: {shown}");
    ensure!(says("detail").as_str().is_some_and(|text| !text.is_empty()), "no detail: {shown}");
    let content_type = only(arrived, "content-type")?;
    ensure!(content_type == problem::CONTENT_TYPE, "found content type `{content_type}`");
    for (name, value) in &expected.headers {
        let found = only(arrived, name)?;
        ensure!(found == *value, "expected `{name}: {value}`, found `{found}`");
    }
    for name in &expected.with {
        only(arrived, name)?;
    }
    Ok(())
}

fn values<'a>(arrived: &'a [Header], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    arrived
        .iter()
        .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
}

/// The one value of `name`.
fn only(arrived: &[Header], name: &str) -> Result<String> {
    let mut values = values(arrived, name);
    let value = values.next().with_context(|| format!("expected the header `{name}`"))?;
    ensure!(values.next().is_none(), "expected the header `{name}` once, found it again");
    Ok(String::from_utf8_lossy(value).into_owned())
}
