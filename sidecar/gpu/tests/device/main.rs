//! Models on a device answer as they do on the CPU. The device is the one that computes on the CPU,
//! llvmpipe, or what `BULKHEAD_TEST_DEVICE` names; without one the tests say so, and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod adapters;
mod answers;
mod failures;
mod flights;
mod keeping;
#[path = "../llvmpipe/mod.rs"]
mod llvmpipe;
mod models;
#[path = "../../../inference/tests/onnx/mod.rs"]
mod onnx;
mod refusals;
mod support;
mod together;
mod traces;
#[path = "../../../inference/tests/tuned/mod.rs"]
mod tuned;
