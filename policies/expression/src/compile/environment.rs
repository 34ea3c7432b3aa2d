//! The variables that a source may name.

use super::Type;

/// A variable that a source may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name, dotted where it is a field: `request.method`.
    pub path: String,
    /// Its type.
    pub ty: Type,
    /// What it holds, for people.
    pub doc: String,
    /// The most bytes that it takes as JSON text, keys and nested values among them; `None` where
    /// there is no bound, and then nothing that takes longer for more of it is accepted.
    pub max_bytes: Option<u32>,
    /// The most elements or entries that it has; where `None`, as many as `max_bytes` have room for.
    pub max_entries: Option<u32>,
    /// Whether it may have no value. `has()` tests it; without a test, reading it is an error then.
    pub optional: bool,
}

impl Variable {
    /// A variable that always has a value, of a size that is not bounded.
    pub fn new(path: impl Into<String>, ty: Type, doc: impl Into<String>) -> Self {
        let (path, doc) = (path.into(), doc.into());
        Self { path, ty, doc, max_bytes: None, max_entries: None, optional: false }
    }

    /// It takes at most `bytes` as JSON text, keys and nested values among them.
    #[must_use]
    pub fn max_bytes(self, bytes: u32) -> Self {
        Self { max_bytes: Some(bytes), ..self }
    }

    /// It has at most `entries` elements or entries.
    #[must_use]
    pub fn max_entries(self, entries: u32) -> Self {
        Self { max_entries: Some(entries), ..self }
    }

    /// It may have no value.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

/// The variables that a source may name, in the order in which they were declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: Vec<Variable>,
}

impl Environment {
    /// An environment without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// With `variable`, in the place of one with the same path.
    #[must_use]
    pub fn with(mut self, variable: Variable) -> Self {
        self.variables.retain(|other| other.path != variable.path);
        self.variables.push(variable);
        self
    }

    /// The variables.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }
}
