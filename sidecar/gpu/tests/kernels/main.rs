//! Every kernel computes on a device what the CPU computes: plans of a few steps over random shapes and
//! numbers. The device is the one that computes on the CPU, llvmpipe, or what `BULKHEAD_TEST_DEVICE`
//! names; without one the tests say so, and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod bare;
mod case;
mod chains;
mod compare;
mod cooperative;
mod elementwise;
mod lines;
#[path = "../llvmpipe/mod.rs"]
mod llvmpipe;
mod moves;
mod parts;
mod products;
mod windows;
