//! The suite: what every test of the whole deployment shares.
//!
//! Start with [`scenario`].

pub mod scenario;
