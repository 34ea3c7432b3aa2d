//! Windows of a plan show what they say, whatever their shapes, and models with convolutions, pools and
//! padding are answered by a plan as by tract.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

#[path = "windows/models.rs"]
mod models;
mod onnx;
#[path = "windows/plans.rs"]
mod plans;
