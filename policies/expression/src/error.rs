//! Why an evaluation gave no value.

use crate::Kind;

/// Why an evaluation gave no value. For who decides by the value, this is never `true`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// A variable that the host has no value for.
    #[error("expected a value of `{path}`, found none; test it with has() first")]
    NoValue {
        /// The variable.
        path: String,
    },
    /// A map without that key.
    #[error("expected a map with the key `{key}`, found one without; test it with has() or `in`")]
    NoSuchKey {
        /// The key, shortened where it is long.
        key: String,
    },
    /// A list that ends before that index.
    #[error("expected an index below {size}, found {index}")]
    NoSuchIndex {
        /// The index asked for.
        index: String,
        /// How many elements there are.
        size: usize,
    },
    /// A value of a type that the operation does not take.
    #[error("expected {expected} for {operation}, found {found}")]
    WrongType {
        /// The operator or function.
        operation: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        found: Kind,
    },
    /// The result does not fit its type.
    #[error("expected a result of {operation} that fits its type, found an overflow")]
    Overflow {
        /// The operator or function.
        operation: &'static str,
    },
    /// Division by zero, or a remainder of it.
    #[error("expected a divisor other than 0 for {operation}")]
    DivisionByZero {
        /// The operator.
        operation: &'static str,
    },
    /// A value that a conversion does not take.
    #[error("expected {expected}, found `{found}`")]
    Conversion {
        /// What the conversion takes.
        expected: &'static str,
        /// What was given, shortened where it is long.
        found: String,
    },
    /// A map literal with the same key twice.
    #[error("expected each key of a map once, found `{key}` twice")]
    RepeatedKey {
        /// The key, shortened where it is long.
        key: String,
    },
    /// Values that are nested too deeply to be compared.
    #[error("expected values nested at most {limit} deep")]
    TooDeep {
        /// How deep they may be.
        limit: usize,
    },
    /// It cost more than it may.
    #[error("expected to need at most {units} units of work; the budget is spent")]
    BudgetSpent {
        /// How much it might have cost.
        units: u64,
    },
    /// The program is none that the compiler makes.
    #[error("the program is malformed: {fault}")]
    Malformed {
        /// What about it.
        fault: &'static str,
    },
}

/// `text`, shortened so that an error stays small whatever a caller sent.
pub(crate) fn shortened(text: &str) -> String {
    const MAX_BYTES: usize = 64;
    if text.len() <= MAX_BYTES {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_BYTES)])
}
