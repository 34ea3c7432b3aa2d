//! Placeholder for the oracle.
