//! A model that takes some milliseconds a row, alone or in a batch: a perceptron of four layers over each
//! of 64 steps, with weights that mean nothing. What it takes in and gives is small beside that.

use crate::onnx::{numbers, perceptron};

/// The width of the input, of the layers between, and of the output.
const WIDTHS: [usize; 5] = [1, 256, 1536, 1536, 1];

/// How many steps a row of its input has, which is named `x` and has one number a step.
pub(super) const STEPS: usize = 64;

/// The file, as ONNX.
pub(super) fn onnx() -> Vec<u8> {
    perceptron(&WIDTHS, &[STEPS], |layer, size| numbers(layer as u32, size))
}
