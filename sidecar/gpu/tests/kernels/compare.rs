//! Numbers to compute with, and how near answers are.

use inference::{Outputs, TensorData};

/// Numbers of which some are none, infinite, subnormal or 0.
pub fn odd(seed: usize, count: usize) -> Vec<f32> {
    let special = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.0,
        -0.0,
        1.0e-40,
        -1.0e-40,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.5,
        -2.5,
        88.5,
        -88.5,
        100.0,
        -100.0,
        1.0e-5,
        1.0e5,
    ];
    let plain = plain(seed, count);
    let number = |(at, plain): (usize, f32)| {
        let hash = (at + 1).wrapping_mul(seed.wrapping_mul(2) + 1).wrapping_mul(0x9e37_79b9) >> 7;
        if hash % 3 == 0 { special[hash / 3 % special.len()] } else { plain }
    };
    plain.into_iter().enumerate().map(number).collect()
}

/// Numbers around 0.
pub fn plain(seed: usize, count: usize) -> Vec<f32> {
    let mut state = seed as u64 ^ 0x2545_f491_4f6c_dd1d;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5) * 4.0
        })
        .collect()
}

/// Whole numbers, of which some are large.
pub fn whole(seed: usize, count: usize) -> Vec<i64> {
    let special = [
        i64::MIN,
        i64::MAX,
        0,
        -1,
        1,
        1 << 40,
        -(1 << 33),
        0xffff_ffff,
        i64::from(i32::MIN),
        1 << 24,
        (1 << 25) + 1,
    ];
    let plain = plain(seed, count).into_iter().enumerate();
    plain
        .map(|(at, it)| {
            if (at + seed).is_multiple_of(4) {
                special[(at / 4 + seed) % special.len()]
            } else {
                (it * 100.0) as i64
            }
        })
        .collect()
}

/// Numbers of which none is subnormal.
pub fn normal(data: TensorData) -> TensorData {
    let TensorData::Fp32(mut numbers) = data else { return data };
    numbers.iter_mut().filter(|it| it.is_subnormal()).for_each(|it| *it = 0.0);
    TensorData::Fp32(numbers)
}

/// Asserts that two numbers differ by `tolerance` of the larger, or of 1, at most. A device may take
/// subnormal numbers for 0.
pub fn near(found: f32, expected: f32, tolerance: f32) -> bool {
    let apart = (found - expected).abs();
    found == expected
        || (found.is_nan() && expected.is_nan())
        || apart <= tolerance * expected.abs().max(1.0)
}

/// Asserts that a device answers what the CPU does.
pub fn assert_near([expected, found]: &[Outputs; 2], tolerance: f32, what: &str) {
    for (found, expected) in found.tensors().iter().zip(expected.tensors()) {
        assert_eq!((found.name(), found.shape()), (expected.name(), expected.shape()), "{what}");
        let (TensorData::Fp32(found), TensorData::Fp32(expected)) = (found.data(), expected.data())
        else {
            assert_eq!(found.data(), expected.data(), "{what}");
            continue;
        };
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(
                near(*found, *expected, tolerance),
                "{what}: {at}: found {found:e}, expected {expected:e}"
            );
        }
    }
}
