//! Evaluation of an archived program, in place.

use crate::program::ArchivedProgram;
use crate::{Budget, EvaluationError, Value};

/// What an expression is evaluated over.
pub trait Variables {
    /// The value of the declared variable at `path`, dotted, such as `request.method`; `None` where
    /// it has none. Only paths that the program's `paths()` lists are asked for, each only
    /// when evaluation comes to it, and again each time it does.
    fn get(&self, path: &str) -> Option<Value<'_>>;
}

impl ArchivedProgram {
    /// Its value over `variables`, borrowed from them and from the program where it can be.
    ///
    /// # Errors
    /// [`EvaluationError`]; among them [`EvaluationError::BudgetSpent`], where `budget` has not
    /// enough left for it.
    pub fn evaluate<'a>(
        &'a self,
        variables: &'a dyn Variables,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvaluationError> {
        let _ = (variables, budget);
        Err(EvaluationError::Malformed { fault: "evaluation is not here yet" })
    }

    /// Its value, which has to be a bool.
    ///
    /// # Errors
    /// As [`ArchivedProgram::evaluate`], and [`EvaluationError::WrongType`] for another value.
    pub fn evaluate_bool(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
    ) -> Result<bool, EvaluationError> {
        match self.evaluate(variables, budget)? {
            Value::Bool(value) => Ok(value),
            other => Err(EvaluationError::WrongType {
                operation: "the expression",
                expected: "a bool",
                found: other.kind(),
            }),
        }
    }
}
