//! What an expectation has to say so that what was seen is what was expected.

use std::collections::BTreeMap;

use crate::{
    Deployment, Error, Header, Observed, Said,
    check::{Problem, values},
    format::{Denied, Expectation, Forwarded, Limited, Outcome, Refused},
    play::Seen,
};
use tenancy::headers;

/// The expectation that `seen` keeps, in as many words as `before` had. The inner error says what
/// was seen, where no expectation can say it.
pub(super) fn refresh(
    deployment: &Deployment,
    before: &Expectation,
    seen: &Seen,
) -> Result<Result<Expectation, String>, Error> {
    let counted = |outcome| Expectation {
        outcome,
        shadow: seen.shadow.clone(),
        metered: before.metered.map(|_| seen.reached),
    };
    match seen.observed.as_slice() {
        [Observed::Promoted(_)] => return Ok(Ok(counted(Outcome::Promoted))),
        [Observed::Refused(said)] => {
            return Ok(Ok(counted(Outcome::Refused(refusal(before, said)))));
        }
        _ => {}
    }
    let mut forwarded = Vec::new();
    let mut denied = Vec::new();
    for one in &seen.observed {
        match one {
            Observed::Forwarded { data_plane, headers } => {
                forwarded.push(onward(deployment, before, data_plane, headers, seen.sent_at)?);
            }
            Observed::Denied { status, headers, body } => {
                denied.push(denial(before, *status, headers, body));
            }
            Observed::Promoted(_) | Observed::Refused(_) => {}
        }
    }
    forwarded.dedup();
    denied.dedup();
    let outcome = match (forwarded.as_slice(), denied.as_slice()) {
        ([one], []) => Outcome::Forwarded(one.clone()),
        ([], [one]) => Outcome::Denied(one.clone()),
        ([_, ..], [others]) => {
            let forwarded =
                seen.observed.iter().filter(|it| matches!(it, Observed::Forwarded { .. })).count();
            Outcome::Limited(Limited { forwarded, others: others.clone() })
        }
        _ => return Ok(Err(format!("{} answers and {} denials", forwarded.len(), denied.len()))),
    };
    Ok(Ok(counted(outcome)))
}

fn refusal(before: &Expectation, said: &[Said]) -> Refused {
    let by_a_check = said.iter().find(|it| it.check.is_some());
    let said = by_a_check.or(said.first());
    let message = match &before.outcome {
        Outcome::Refused(Refused { message: Some(_), .. }) => said.map(|it| it.message.clone()),
        _ => None,
    };
    Refused { check: said.and_then(|it| it.check.clone()), message }
}

fn onward(
    deployment: &Deployment,
    before: &Expectation,
    data_plane: &str,
    arrived: &[Header],
    now: u64,
) -> Result<Forwarded, Error> {
    let before = match &before.outcome {
        Outcome::Forwarded(before) => Some(before),
        _ => None,
    };
    let passport = values(arrived, headers::PASSPORT).next().unwrap_or_default();
    let passport = String::from_utf8_lossy(passport);
    let verified = deployment.verifier()?.verify(&passport, now).ok();
    let told = |tell: fn(&passport::Passport) -> String| {
        verified.as_ref().map(|(passport, _)| tell(passport)).unwrap_or_default()
    };
    let life = verified.as_ref().map(|(_, expires_at)| expires_at.saturating_sub(now));
    let is_free_of = |text: &String| {
        let found = |(_, value): &Header| String::from_utf8_lossy(value).contains(text.as_str());
        !arrived.iter().any(found)
    };
    Ok(Forwarded {
        tenant: told(|passport| passport.tenant.to_string()),
        tier: before
            .and_then(|before| before.tier.as_ref())
            .map(|_| told(|passport| passport.tier.to_string())),
        data_plane: data_plane.to_owned(),
        passport_expires_within: before.and_then(|before| before.passport_expires_within).and(life),
        headers: before.map(|before| still(&before.headers, arrived)).unwrap_or_default(),
        without: before.map_or_else(Vec::new, |before| {
            let gone = before.without.iter().filter(|name| values(arrived, name).next().is_none());
            gone.cloned().collect()
        }),
        nowhere: before.and_then(|before| before.nowhere.clone()).filter(is_free_of),
    })
}

fn denial(before: &Expectation, status: u16, arrived: &[Header], body: &[u8]) -> Denied {
    let before = match &before.outcome {
        Outcome::Denied(before) | Outcome::Limited(Limited { others: before, .. }) => Some(before),
        _ => None,
    };
    let problem = Problem::of(body);
    let check = problem.text("check");
    let message = before.and_then(|before| before.message.as_ref());
    Denied {
        status,
        code: problem.text("code").to_owned(),
        check: (!check.is_empty()).then(|| check.to_owned()),
        message: message.map(|_| problem.text("detail").to_owned()),
        headers: before.map(|before| still(&before.headers, arrived)).unwrap_or_default(),
        with: before.map_or_else(Vec::new, |before| {
            let there = before.with.iter().filter(|name| values(arrived, name).count() == 1);
            there.cloned().collect()
        }),
    }
}

/// The same headers, as they arrived; those that did not are left out.
fn still(before: &BTreeMap<String, String>, arrived: &[Header]) -> BTreeMap<String, String> {
    let found = |name: &String| {
        let value = values(arrived, name).next()?;
        Some((name.clone(), String::from_utf8_lossy(value).into_owned()))
    };
    before.keys().filter_map(found).collect()
}
