//! A denial, and the reply that it becomes.

mod text;

use policy_model::table::ArchivedObserveRow;
use tenancy::{
    headers,
    problem::{CONTENT_TYPE, Details, Problem},
};

use crate::{Host, Note};

/// The title of every denial by a check.
const CHECK_TITLE: &str = "Denied by policy";

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a denied request must not be passed on"]
pub enum Verdict {
    /// It travels on.
    Forward,
    /// It was answered, and why.
    Denied(Cause),
}

/// Why a request is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// By what every request is held to.
    Problem(Problem),
    /// By a check that the operator wrote.
    Check(CheckDenial),
}

/// A check's denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckDenial {
    /// The check.
    pub check: String,
    /// The HTTP status.
    pub status: u16,
    /// The code.
    pub code: String,
    /// What the caller is told.
    pub message: String,
}

impl From<Problem> for Cause {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Cause {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.details().status
    }

    /// The code.
    pub fn code(&self) -> &str {
        self.details().code
    }

    /// The check that denied, where it was one.
    pub fn check(&self) -> Option<&str> {
        self.details().check
    }

    /// What the caller is told.
    pub fn detail(&self) -> &str {
        self.details().detail
    }

    fn details(&self) -> Details<'_> {
        match self {
            Self::Problem(problem) => problem.details(text::detail(*problem)),
            Self::Check(CheckDenial { check, status, code, message }) => Details {
                status: *status,
                code,
                title: CHECK_TITLE,
                detail: message,
                check: Some(check),
                revision: None,
            },
        }
    }

    fn problem(&self) -> Option<Problem> {
        match self {
            Self::Problem(problem) => Some(*problem),
            Self::Check(_) => None,
        }
    }
}

/// A denial, and what its reply says beside the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) cause: Cause,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl<C: Into<Cause>> From<C> for Denial {
    fn from(cause: C) -> Self {
        Self { cause: cause.into(), headers: Vec::new() }
    }
}

/// Who denies, and under which policy.
pub(crate) struct Authority<'a> {
    /// The filter.
    pub(crate) filter: &'a str,
    /// The revision of its table, and what the operator wants to see; `None` without a table.
    pub(crate) policy: Option<(&'a str, &'a ArchivedObserveRow)>,
}

impl Denial {
    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends the reply and counts it. Only denials are counted here: admitted requests are
    /// counted by the proxy's own cluster statistics, and each increment is a host call.
    pub(crate) fn send(self, host: &impl Host, by: &Authority<'_>) -> Verdict {
        let revision = by.policy.map(|(revision, _)| revision);
        let details = Details { revision, ..self.cause.details() };
        let challenge = text::challenge(self.cause.problem(), details.status, details.title);
        let mut headers = vec![("content-type", CONTENT_TYPE)];
        headers.extend(challenge.as_deref().map(|value| ("www-authenticate", value)));
        headers.extend(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        if let Some((revision, observe)) = by.policy {
            if observe.response_headers {
                headers.push((headers::REVISION, revision));
                headers.extend(details.check.map(|check| (headers::CHECK, check)));
            }
            if observe.access_log {
                host.note(Note::Revision, revision);
                host.note(Note::Code, details.code);
                if let Some(check) = details.check {
                    host.note(Note::Check, check);
                }
            }
        }
        host.reply(details.status, headers, &details.to_json());
        host.increment(&format!("bulkhead_{}_denied.{}", by.filter, details.code));
        Verdict::Denied(self.cause)
    }
}

/// Denies a request that arrived before any usable table did.
pub fn refuse_without_policy(host: &impl Host, filter: &str) -> Verdict {
    Denial::from(Problem::PolicyUnavailable).send(host, &Authority { filter, policy: None })
}
