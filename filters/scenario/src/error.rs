//! Why a scenario could not be run at all. What ran and was not as promised is a
//! [`Broken`](crate::Broken).

use filter_core::ConfigureError;
use policy_model::{diagnostic::Diagnostics, table::TableError};

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A scenario or its resources have mistakes.
    #[error(transparent)]
    Mistakes(#[from] Diagnostics),
    /// A request names what the deployment does not have.
    #[error("expected {what} of the deployment, found `{name}`; there is: {known}")]
    Unknown {
        /// What was expected, for instance `an Issuer`.
        what: &'static str,
        /// The name that is none.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A request cannot be made as it is described.
    #[error("the request cannot be made: {0}")]
    Request(String),
    /// A key or a signature could not be made.
    #[error("a key of the scenario failed: {0}")]
    Key(String),
    /// The resources give no table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A filter refused its table.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// A sidecar refused what it is assigned.
    #[error("the sidecar refuses its assignments: {0}")]
    Assignment(#[from] model_server::RefusedAssignment),
    /// A filter's WebAssembly could not be loaded or does not run.
    #[error("{0}")]
    Wasm(String),
    /// It failed at this place of a scenario.
    #[error("{file}:{line}: {source}")]
    At {
        /// The scenario's file.
        file: String,
        /// The line of the request.
        line: u64,
        /// Why.
        source: Box<Error>,
    },
    /// Nothing can be said about a request.
    #[error("{0}")]
    Runner(String),
}

impl Error {
    pub(crate) fn key(error: impl ToString) -> Self {
        Self::Key(error.to_string())
    }

    pub(crate) fn request(error: impl ToString) -> Self {
        Self::Request(error.to_string())
    }

    pub(crate) fn unknown<'a>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        Self::Unknown { what, name: name.to_owned(), known: known.join(", ") }
    }
}

impl From<passport::KeyError> for Error {
    fn from(error: passport::KeyError) -> Self {
        Self::key(error)
    }
}

impl From<passport::seal::SealError> for Error {
    fn from(error: passport::seal::SealError) -> Self {
        Self::key(error)
    }
}
