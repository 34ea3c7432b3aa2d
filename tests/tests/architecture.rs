//! The house: who may know whom, and that the documents speak of what is there.
//!
//! No process of ours is started here but for its `--help`. Start with `edges.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "architecture/crates.rs"]
mod crates;
#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/edges.rs"]
mod edges;
#[path = "architecture/markdown.rs"]
mod markdown;
#[path = "architecture/workspace.rs"]
mod workspace;
