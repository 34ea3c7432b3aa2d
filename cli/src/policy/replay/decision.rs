//! What a revision decides on a recorded request.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub(super) enum Decision {
    /// It travels on to a data plane.
    Forwarded { data_plane: String },
    /// It is answered with a problem.
    Denied {
        status: u16,
        code: String,
        /// The check that denied it; none where it is no check that did.
        #[serde(skip_serializing_if = "Option::is_none")]
        check: Option<String>,
    },
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forwarded { data_plane } => write!(f, "forwarded to {data_plane}"),
            Self::Denied { status, code, .. } => write!(f, "denied, {status} {code}"),
        }
    }
}

impl Decision {
    fn check(&self) -> Option<&str> {
        match self {
            Self::Forwarded { .. } => None,
            Self::Denied { check, .. } => check.as_deref(),
        }
    }
}

/// A decision, and what was found on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    /// The checks in shadow mode that would have denied it.
    pub(super) shadows: BTreeSet<String>,
    /// The checks on the way that read what the record does not hold. They count as passed.
    pub(super) unknown: BTreeSet<Unknown>,
}

/// A check of which a record does not tell what it says. Equal ones say the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unknown {
    pub(super) check: String,
    pub(super) is_shadow: bool,
    pub(super) expression: String,
}

/// What two revisions decide differently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Difference {
    pub(super) tenant: String,
    /// The check that makes it: of the candidate where one does, or else of what runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) check: Option<String>,
    pub(super) now: Decision,
    pub(super) then: Decision,
}

impl Difference {
    /// What differs for a tenant, where something does.
    pub(super) fn between(tenant: &str, now: &Decision, then: &Decision) -> Option<Self> {
        if now == then {
            return None;
        }
        Some(Self {
            tenant: tenant.to_owned(),
            check: then.check().or(now.check()).map(str::to_owned),
            now: now.clone(),
            then: then.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(data_plane: &str) -> Decision {
        Decision::Forwarded { data_plane: data_plane.to_owned() }
    }

    fn denied(check: Option<&str>) -> Decision {
        let code = "token_too_old".to_owned();
        Decision::Denied { status: 403, code, check: check.map(str::to_owned) }
    }

    #[test]
    fn equal_decisions_do_not_differ() {
        assert_eq!(Difference::between("org_a", &denied(None), &denied(None)), None);
        assert_eq!(Difference::between("org_a", &forwarded("eu"), &forwarded("eu")), None);
    }

    #[test]
    fn another_data_plane_is_another_decision() {
        let moved = Difference::between("org_a", &forwarded("eu"), &forwarded("us")).unwrap();
        assert_eq!((moved.check, moved.then.to_string()), (None, "forwarded to us".to_owned()));
    }

    #[test]
    fn a_difference_names_the_check_that_makes_it_whichever_side_it_is_on() {
        let age = denied(Some("token-age"));
        let stricter = Difference::between("org_a", &forwarded("eu"), &age).unwrap();
        assert_eq!(stricter.check.as_deref(), Some("token-age"));
        let looser = Difference::between("org_a", &age, &forwarded("eu")).unwrap();
        assert_eq!(looser.check.as_deref(), Some("token-age"));
        assert_eq!(looser.now.to_string(), "denied, 403 token_too_old");
    }
}
