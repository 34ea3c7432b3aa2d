//! Why a request is not answered, by whichever protocol it came.

use std::borrow::Cow;

use crate::{
    answer::{Answer, Refusal},
    checks::Denied,
};

/// Why a request is not answered.
#[derive(Debug)]
pub(crate) enum Denial {
    /// By what is built in.
    Refused(Refusal),
    /// By a declared check.
    Checked(Denied),
}

impl Denial {
    /// The stable code.
    pub(crate) fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Refused(refusal) => Cow::Borrowed(refusal.problem.code()),
            Self::Checked(denied) => Cow::Owned(denied.code.clone()),
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.problem.status(),
            Self::Checked(denied) => denied.status,
        }
    }

    /// What was expected and what was found.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.detail,
            Self::Checked(denied) => &denied.message,
        }
    }

    /// As HTTP says it.
    pub(crate) fn into_answer(self) -> Answer {
        match self {
            Self::Refused(refusal) => refusal.into_answer(),
            Self::Checked(denied) => denied.into_answer(),
        }
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Denied> for Denial {
    fn from(denied: Denied) -> Self {
        Self::Checked(denied)
    }
}
