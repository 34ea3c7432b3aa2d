//! The suite: what every test of the whole deployment shares.
//!
//! Start with [`scenario`], then [`e2e`].

pub mod e2e;
pub mod scenario;
