//! Filters for the tests of `wasm-host`, each one an example of this package: the same functions that the
//! examples of the public Rust SDK show, and some that those do not.
