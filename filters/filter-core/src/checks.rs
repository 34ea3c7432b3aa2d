//! Holds a request to the checks that its tenant is under.

use expression::{Budget, EvaluationError, Variables};
use policy_model::table::ArchivedCheckRow;
use tenancy::TenantId;

use crate::{
    Host,
    denial::{CheckDenial, Denial},
};

/// What one check said of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOutcome {
    /// The check's name.
    pub check: String,
    /// Whether a failure is counted and not denied.
    pub shadow: bool,
    /// What came of it.
    pub result: CheckResult,
    /// What a failure says, whether it denies or not; `None` where the check passed.
    pub denial: Option<CheckDenial>,
}

/// What came of evaluating a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    /// The expression is true.
    Passed,
    /// The expression is false.
    Failed,
    /// The expression has no value, which counts as a failure. The text says why.
    Error(String),
}

impl CheckOutcome {
    /// Whether this alone denies the request.
    pub fn denies(&self) -> bool {
        !self.shadow && self.denial.is_some()
    }
}

/// Holds a request to `checks`, in their order. The first enforced one that does not pass is the
/// denial; what fails in shadow before it is counted for `tenant`.
pub(crate) fn hold<'t>(
    host: &impl Host,
    filter: &str,
    tenant: &TenantId,
    checks: impl Iterator<Item = &'t ArchivedCheckRow>,
    variables: &dyn Variables,
) -> Result<(), Denial> {
    for check in checks {
        match passes(check, variables) {
            Ok(true) => continue,
            Ok(false) => {}
            Err(_) => host.increment(&format!("bulkhead_{filter}_check_errors.{}", check.name)),
        }
        if !check.shadow {
            return Err(CheckDenial::of(check, variables).into());
        }
        host.increment(&format!("bulkhead.shadow.{}.{tenant}", check.name));
    }
    Ok(())
}

/// What every one of `checks` says, also of those that a denial before them would keep from being
/// evaluated. Nothing is counted.
pub(crate) fn explain<'t>(
    checks: impl Iterator<Item = &'t ArchivedCheckRow>,
    variables: &dyn Variables,
) -> Vec<CheckOutcome> {
    let outcome = |check: &ArchivedCheckRow| {
        let result = match passes(check, variables) {
            Ok(true) => CheckResult::Passed,
            Ok(false) => CheckResult::Failed,
            Err(error) => CheckResult::Error(error.to_string()),
        };
        CheckOutcome {
            check: check.name.to_string(),
            shadow: check.shadow,
            denial: (result != CheckResult::Passed).then(|| CheckDenial::of(check, variables)),
            result,
        }
    };
    checks.map(outcome).collect()
}

/// Each check has a budget of its own, so that none is starved by those before it.
fn passes(check: &ArchivedCheckRow, variables: &dyn Variables) -> Result<bool, EvaluationError> {
    check.program.evaluate_bool(variables, &mut Budget::default())
}

impl CheckDenial {
    fn of(check: &ArchivedCheckRow, variables: &dyn Variables) -> Self {
        Self {
            check: check.name.to_string(),
            status: check.status.to_native(),
            code: check.code.to_string(),
            message: check.message.render(variables, &mut Budget::default()),
        }
    }
}

impl From<CheckDenial> for crate::denial::Cause {
    fn from(denial: CheckDenial) -> Self {
        Self::Check(denial)
    }
}
