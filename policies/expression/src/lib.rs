//! The expressions of checks: CEL, type-checked and bounded before it is in force.
