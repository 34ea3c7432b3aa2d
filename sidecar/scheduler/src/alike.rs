//! Whether two answers say the same.

use inference::{Outputs, TensorData};

/// How far an element of a joint answer may be from the same element of an answer alone, as a part
/// of it, or of 1 where it is smaller: kernels add up in another order for other numbers of rows.
const TOLERANCE: f64 = 1e-3;

pub(crate) fn are_alike(one: &Outputs, other: &Outputs) -> bool {
    one.tensors().len() == other.tensors().len()
        && one.tensors().iter().zip(other.tensors()).all(|(one, other)| {
            one.shape() == other.shape()
                && match (one.data(), other.data()) {
                    (TensorData::Fp32(one), TensorData::Fp32(other)) => {
                        let pairs = one.iter().zip(other);
                        pairs.into_iter().all(|(a, b)| is_near(f64::from(*a), f64::from(*b)))
                    }
                    (TensorData::Fp64(one), TensorData::Fp64(other)) => {
                        one.iter().zip(other).all(|(a, b)| is_near(*a, *b))
                    }
                    (TensorData::Fp16(one), TensorData::Fp16(other)) => {
                        one.iter().zip(other).all(|(a, b)| is_near(a.to_f64(), b.to_f64()))
                    }
                    (one, other) => one == other,
                }
        })
}

fn is_near(one: f64, other: f64) -> bool {
    one == other
        || (one.is_nan() && other.is_nan())
        || (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0)
}
