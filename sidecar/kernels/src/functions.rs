//! Functions of many numbers.
//!
//! They have no calls and no branches, so that loops over them become vector instructions, and no sums
//! that a processor could round otherwise than another: a number is the same wherever it is computed.

use crate::run;

/// A function that recurrent models and gates are full of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `1 / (1 + exp(-x))`, within 2e-7 of it, relatively; 0 where it is below 1e-38.
    Sigmoid,
    /// `x · sigmoid(x)`.
    Silu,
    /// The hyperbolic tangent, within 3e-7 of it, relatively.
    Tanh,
}

impl Function {
    /// Writes the function of each number; as many as there are of both.
    pub fn map(self, from: &[f32], to: &mut [f32]) {
        run::map(self, from, to);
    }

    #[inline(always)]
    pub(crate) fn compute(self, from: &[f32], to: &mut [f32]) {
        match self {
            Self::Sigmoid => each(from, to, sigmoid),
            Self::Silu => each(from, to, |x| x * sigmoid(x)),
            Self::Tanh => each(from, to, tanh),
        }
    }
}

#[inline(always)]
fn each(from: &[f32], to: &mut [f32], function: impl Fn(f32) -> f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = function(*from));
}

/// The logarithm of 2, as a part that has few digits and what is left.
const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
/// What is added to a number below 2^22 to have its whole part in the lowest bits: 1.5 · 2^23.
const WHOLE: f32 = 12_582_912.0;

/// `exp(x)` as `2^n · (1 + p)`: the power and `p`, for x from -87 to 88. What is no number stays so.
#[inline(always)]
fn exponential(x: f32) -> (f32, f32) {
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let rest = x - n * LN_2[0] - n * LN_2[1];
    // Taylor's, whose next term is below 6e-9 where the rest is at most half the logarithm of 2.
    let p = 1.0 / 5040.0;
    let p = p * rest + 1.0 / 720.0;
    let p = p * rest + 1.0 / 120.0;
    let p = p * rest + 1.0 / 24.0;
    let p = p * rest + 1.0 / 6.0;
    let p = p * rest + 0.5;
    let p = rest + p * (rest * rest);
    (f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23)), p)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let (power, p) = exponential((-x).clamp(-87.0, 88.0));
    let sigmoid = 1.0 / (1.0 + (power + power * p));
    if x < -88.0 { 0.0 } else { sigmoid }
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    // exp(2x) - 1, without losing what small numbers leave of it.
    let twice = 2.0 * x.abs();
    let (power, p) = exponential(if twice > 40.0 { 40.0 } else { twice });
    let less_one = power * p + (power - 1.0);
    (less_one / (less_one + 2.0)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 997th number there is.
    fn numbers() -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(997).map(f32::from_bits).filter(|it| it.is_finite())
    }

    #[test]
    fn sigmoid_is_as_exact_as_floats_are() {
        for x in numbers() {
            let (found, exact) = (f64::from(sigmoid(x)), 1.0 / (1.0 + (-f64::from(x)).exp()));
            let is_near = (found - exact).abs() <= 2e-7 * exact || exact < 1.2e-38;
            assert!(is_near, "{found} is not {exact} at {x}");
            assert!((0.0..=1.0).contains(&found));
        }
    }

    #[test]
    fn tanh_is_as_exact_as_floats_are() {
        for x in numbers() {
            let (found, exact) = (f64::from(tanh(x)), f64::from(x).tanh());
            assert!((found - exact).abs() <= 3e-7 * exact.abs(), "{found} is not {exact} at {x}");
            assert!(found.abs() <= 1.0 && tanh(-x).to_bits() == (-tanh(x)).to_bits());
        }
    }

    #[test]
    fn many_at_once_are_what_each_is() {
        let from: Vec<f32> = numbers().step_by(1009).collect();
        for length in [0, 1, 7, 16, 33, from.len()] {
            for (function, one) in
                [(Function::Sigmoid, sigmoid as fn(f32) -> f32), (Function::Tanh, tanh)]
            {
                let mut to = vec![7.0; length];
                function.map(&from, &mut to);
                let same = to.iter().zip(&from).all(|(to, x)| to.to_bits() == one(*x).to_bits());
                assert!(same, "{function:?} of {length}");
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_so_and_infinities_have_their_limits() {
        assert!(sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!([f32::NEG_INFINITY, f32::INFINITY].map(sigmoid), [0.0, 1.0]);
        assert_eq!([f32::NEG_INFINITY, f32::INFINITY].map(tanh), [-1.0, 1.0]);
    }
}
