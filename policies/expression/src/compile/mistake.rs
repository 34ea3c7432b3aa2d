//! What is wrong with a source, and where.

use std::fmt;

/// Something about a source that refuses it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where in the source it starts, in bytes.
    pub offset: usize,
    /// How many bytes of the source it is about.
    pub length: usize,
    /// What was expected, what was found, and what to do.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.message)
    }
}

impl std::error::Error for Mistake {}
