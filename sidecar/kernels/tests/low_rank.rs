//! What thin changes add to a product.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use half::f16;
use kernels::{Correction, Finish, LowRank, Scratch, column_blocks};
use proptest::prelude::*;

fn numbers(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 37 + seed * 17 + 11) % 101) as f32 * 0.02 - 1.0).collect()
}

/// In the order in which a second thin matrix is kept.
fn in_blocks<N: Copy>(rows: &[N], rank: usize, columns: usize) -> Vec<N> {
    column_blocks(rank, columns).map(|at| rows[at]).collect()
}

fn halves(numbers: &[f32]) -> Vec<f16> {
    numbers.iter().map(|it| f16::from_f32(*it)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_added_is_the_product_of_both_and_each_row_keeps_to_itself(
        rows in 0_usize..9,
        inner in 0_usize..70,
        columns in 0_usize..150,
        rank in 0_usize..10,
        relu in any::<bool>(),
        has_bias in any::<bool>(),
    ) {
        let (left, before) = (numbers(1, rows * inner), numbers(2, rows * columns));
        let (down, up) = (numbers(3, rank * inner), numbers(4, rank * columns));
        let (bias, blocks) = (numbers(5, columns), in_blocks(&up, rank, columns));
        let correction = Correction {
            low_rank: Some(LowRank::new(&down, &blocks, rank).unwrap()),
            bias: has_bias.then_some(&*bias),
            finish: if relu { Finish::Relu } else { Finish::None },
            next: None,
        };
        let mut scratch = Scratch::default();
        let mut found = before.clone();
        scratch.correct(&left, (rows, columns), &correction, &mut found).unwrap();
        for row in 0..rows {
            let row_of = |all: &[f32], width: usize| all[row * width..(row + 1) * width].to_vec();
            let (x, mut alone) = (row_of(&left, inner), row_of(&before, columns));
            scratch.correct(&x, (1, columns), &correction, &mut alone).unwrap();
            prop_assert_eq!(&row_of(&found, columns), &alone);
            for column in 0..columns {
                let thin = |j: usize| -> f64 {
                    (0..inner).map(|i| f64::from(x[i]) * f64::from(down[j * inner + i])).sum()
                };
                let change: f64 =
                    (0..rank).map(|j| thin(j) * f64::from(up[j * columns + column])).sum();
                let mut expected = f64::from(before[row * columns + column]) + change;
                expected += if has_bias { f64::from(bias[column]) } else { 0.0 };
                expected = if relu { expected.max(0.0) } else { expected };
                let near = (expected - f64::from(alone[column])).abs() <= 1e-3;
                prop_assert!(near, "{} is not {expected}", alone[column]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Widening is exact, so nothing but what they are kept as tells the two apart.
    #[test]
    fn halves_add_what_the_same_numbers_add_as_wide_ones(
        rows in 0_usize..9,
        inner in 0_usize..150,
        columns in 0_usize..150,
        rank in 0_usize..10,
        bits in any::<u16>(),
    ) {
        let (left, mut found) = (numbers(1, rows * inner), numbers(2, rows * columns));
        let (mut down, up) =
            (halves(&numbers(3, rank * inner)), halves(&numbers(4, rank * columns)));
        // Whatever a file holds: infinities, no numbers, and such as are near to zero.
        if let Some(any) = down.last_mut() {
            *any = f16::from_bits(bits);
        }
        let narrow = LowRank::of_halves(&down, &up, rank).unwrap();
        let [down, up] = narrow.unpack();
        let up = in_blocks(&up, rank, columns);
        let wide = LowRank::new(&down, &up, rank).unwrap();
        let mut expected = found.clone();
        let mut scratch = Scratch::default();
        for (pair, output) in [(narrow, &mut found), (wide, &mut expected)] {
            let correction = Correction { low_rank: Some(pair), ..Correction::default() };
            scratch.correct(&left, (rows, columns), &correction, output).unwrap();
        }
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        prop_assert!(found.iter().zip(&expected).all(same), "{found:?} is not {expected:?}");
        for row in 0..rows {
            let (x, before) = (&left[row * inner..(row + 1) * inner], numbers(2, rows * columns));
            let mut alone = before[row * columns..(row + 1) * columns].to_vec();
            let correction = Correction { low_rank: Some(narrow), ..Correction::default() };
            scratch.correct(x, (1, columns), &correction, &mut alone).unwrap();
            let together = &found[row * columns..(row + 1) * columns];
            prop_assert!(together.iter().zip(&alone).all(same), "a row depends on others");
        }
        // Whatever comes next, of the same sizes or not, is asked for and changes nothing.
        for next in [narrow, wide, LowRank::of_halves(&[], &[], 0).unwrap()] {
            let mut again = numbers(2, rows * columns);
            let correction =
                Correction { low_rank: Some(narrow), next: Some(next), ..Correction::default() };
            scratch.correct(&left, (rows, columns), &correction, &mut again).unwrap();
            prop_assert!(again.iter().zip(&found).all(same), "what comes next changes an answer");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Sums of what is scaled by powers of two are those of what was not, scaled.
    #[test]
    fn bytes_add_what_the_same_numbers_add_as_wide_ones(
        rows in 0_usize..5,
        inner in 0_usize..150,
        columns in 0_usize..300,
        rank in 0_usize..10,
        seed in any::<u8>(),
    ) {
        let some = |seed: usize, count: usize| -> Vec<i8> {
            (0..count).map(|at| ((at * 89 + seed * 31 + 7) % 256) as u8 as i8).collect()
        };
        let (down, rowwise) =
            (some(seed.into(), rank * inner), some(usize::from(seed) + 1, rank * columns));
        let up = in_blocks(&rowwise, rank, columns);
        let scales: Vec<f32> = (0..rank).map(|at| 0.5_f32.powi(at as i32 + 6)).collect();
        let narrow = LowRank::of_bytes(&down, &up, &scales).unwrap();
        let wide_down: Vec<f32> =
            (0..down.len()).map(|at| f32::from(down[at]) * scales[at / inner]).collect();
        let wide_up: Vec<f32> = rowwise.iter().map(|it| f32::from(*it)).collect();
        prop_assert_eq!(narrow.unpack(), [wide_down.clone(), wide_up.clone()]);
        let wide_up = in_blocks(&wide_up, rank, columns);
        let wide = LowRank::new(&wide_down, &wide_up, rank).unwrap();
        let left = numbers(1, rows * inner);
        let (mut found, before) = (numbers(2, rows * columns), numbers(2, rows * columns));
        let mut expected = found.clone();
        let mut scratch = Scratch::default();
        for (pair, output) in [(narrow, &mut found), (wide, &mut expected)] {
            let correction = Correction { low_rank: Some(pair), ..Correction::default() };
            scratch.correct(&left, (rows, columns), &correction, output).unwrap();
        }
        prop_assert_eq!(&found, &expected);
        for row in 0..rows {
            let mut alone = before[row * columns..(row + 1) * columns].to_vec();
            let correction = Correction { low_rank: Some(narrow), ..Correction::default() };
            let x = &left[row * inner..(row + 1) * inner];
            scratch.correct(x, (1, columns), &correction, &mut alone).unwrap();
            prop_assert_eq!(&found[row * columns..(row + 1) * columns], &alone[..]);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let numbers = numbers(0, 24);
    assert!(LowRank::new(&numbers[..7], &numbers[..6], 2).is_err());
    assert!(LowRank::new(&numbers[..6], &numbers[..6], 0).is_err());
    let narrow = halves(&numbers);
    assert!(LowRank::of_halves(&narrow[..7], &narrow[..6], 2).is_err());
    assert!(LowRank::of_halves(&narrow[..6], &narrow[..6], 0).is_err());
    let bytes = [1_i8; 8];
    assert!(LowRank::of_bytes(&bytes[..7], &bytes[..6], &numbers[..2]).is_err());
    assert!(LowRank::of_bytes(&bytes[..6], &bytes[..6], &[]).is_err());
    assert!(LowRank::of_bytes(&bytes[..6], &bytes[..8], &numbers[..2]).is_ok());
    let pair = LowRank::new(&numbers[..6], &numbers[..8], 2).unwrap();
    let correction = Correction { low_rank: Some(pair), ..Correction::default() };
    let mut scratch = Scratch::default();
    let mut output = [0.0; 8];
    let mut correct = |left: &[f32], rows, columns, correction: &Correction<'_>| {
        scratch.correct(left, (rows, columns), correction, &mut output[..rows * columns]).is_ok()
    };
    assert!(correct(&numbers[..6], 2, 4, &correction));
    assert!(!correct(&numbers[..5], 2, 4, &correction));
    assert!(!correct(&numbers[..6], 2, 3, &correction));
    let bias = Correction { bias: Some(&numbers[..3]), ..Correction::default() };
    assert!(!correct(&[], 2, 4, &bias));
}

#[test]
fn what_is_no_number_stays_in_its_row() {
    let (down, up) = (numbers(3, 2 * 20), numbers(4, 2 * 70));
    let pair = LowRank::new(&down, &up, 2).unwrap();
    let correction = Correction { low_rank: Some(pair), ..Correction::default() };
    let mut left = numbers(1, 3 * 20);
    let mut scratch = Scratch::default();
    let (mut clean, mut dirty) = (vec![0.0; 3 * 70], vec![0.0; 3 * 70]);
    scratch.correct(&left, (3, 70), &correction, &mut clean).unwrap();
    left[25] = f32::NAN;
    left[26] = f32::INFINITY;
    scratch.correct(&left, (3, 70), &correction, &mut dirty).unwrap();
    assert_eq!(clean[..70], dirty[..70]);
    assert_eq!(clean[140..], dirty[140..]);
    assert!(dirty[70..140].iter().all(|it| it.is_nan()));
}
