//! Who may use the HTTP interface, and for what.
//!
//! An operator is a name, a [`Role`] and the SHA-256 of a token. The token itself is nowhere: who
//! reads the file can call nothing. The file is read again when it changes, so that somebody is
//! let in or shut out without a restart.
//!
//! Start with [`Roster`], then [`Role`], then [`Token`].

mod file;
mod role;
mod roster;
mod token;

pub use file::{Operator, OperatorsError, parse};
pub use role::Role;
pub use roster::Roster;
pub use token::{Token, TokenDigest, TokenDigestError};

/// What the journal calls the control plane itself.
pub const ITSELF: &str = "bulkhead";

/// What the journal calls whoever calls from this machine where there are no operators.
pub const LOOPBACK: &str = "loopback";
