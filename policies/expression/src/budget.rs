//! What an evaluation may cost.

use crate::EvaluationError;

/// The most that an expression may cost at worst, in units: one is about the work on one byte of
/// text. An expression whose static bound is above it is refused.
pub const MAX_COST: u64 = 1 << 20;

/// What one node of a program costs to visit, in units.
pub(crate) const NODE_UNITS: u64 = 16;

/// How many units an evaluation may still spend. Several programs may share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    limit: u64,
    spent: u64,
}

impl Default for Budget {
    /// Enough for any one program that compiles.
    fn default() -> Self {
        Self::new(MAX_COST)
    }
}

impl Budget {
    /// A budget of `units`.
    pub fn new(units: u64) -> Self {
        Self { limit: units, spent: 0 }
    }

    /// The units spent so far; never more than there were.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// The units left.
    pub fn left(&self) -> u64 {
        self.limit - self.spent
    }

    /// Pays for work before it is done. What cannot be paid leaves nothing for what comes after.
    pub(crate) fn charge(&mut self, units: u64) -> Result<(), EvaluationError> {
        if units > self.left() {
            self.spent = self.limit;
            return Err(EvaluationError::BudgetSpent { units: self.limit });
        }
        self.spent += units;
        Ok(())
    }
}
