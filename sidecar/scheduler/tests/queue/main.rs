//! What the queue promises, under a clock that the tests move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod batches;
mod bounds;
mod fairness;
mod lanes;
mod world;

use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
