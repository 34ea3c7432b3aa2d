//! Matrices as products of thin ones.

use nalgebra::{DMatrix, SVD};

use super::measure::Noise;

/// So many directions more than are wanted are followed, and so often multiplied by the matrix: the
/// wanted ones then are those of the full decomposition to the precision of 32-bit floats, unless the
/// matrix has none that stand out (Halko, Martinsson and Tropp, SIAM Review 53, 2011).
const MORE: usize = 8;
const TIMES: usize = 6;
/// A direction that is so much weaker than the strongest is nothing but rounding.
const LEAST: f64 = 1e-7;

/// Two thin matrices, each `rank` rows one after another: `matrix ≈ downᵀ · up`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Thin {
    pub(super) rank: usize,
    /// `rank` rows of as many numbers as the matrix has rows.
    pub(super) down: Vec<f32>,
    /// `rank` rows of as many numbers as the matrix has columns.
    pub(super) up: Vec<f32>,
}

/// The nearest product of at most `rank` to a matrix of `inner` rows of `columns` numbers. None where
/// it has numbers that are none, or infinite.
pub(super) fn factor(matrix: &[f32], inner: usize, columns: usize, rank: usize) -> Option<Thin> {
    if matrix.iter().any(|it| !it.is_finite()) || matrix.len() != inner.checked_mul(columns)? {
        return None;
    }
    let directions = rank.checked_add(MORE)?.min(inner).min(columns);
    let wide = matrix.iter().map(|it| f64::from(*it));
    let wide = DMatrix::from_row_iterator(inner, columns, wide);
    let mut noise = Noise::new();
    let start = DMatrix::from_fn(columns, directions, |_, _| f64::from(noise.float()));
    let mut basis = (&wide * start).qr().q();
    for _ in 0..TIMES {
        let back = wide.tr_mul(&basis).qr().q();
        basis = (&wide * back).qr().q();
    }
    let small = wide.tr_mul(&basis);
    // `wide ≈ basis · smallᵀ`, and `small = U · S · Vᵀ`.
    let SVD { u, v_t, singular_values } = SVD::try_new(small, true, true, f64::EPSILON, 0)?;
    let (u, v_t) = (u?, v_t?);
    let strongest = singular_values.iter().copied().fold(0.0, f64::max);
    let is_kept = |it: &&f64| strongest > 0.0 && **it > strongest * LEAST;
    let kept = singular_values.iter().take(rank).take_while(is_kept).count();
    let left = basis * v_t.transpose();
    let mut thin = Thin { rank: kept, down: vec![], up: vec![] };
    for (at, strength) in singular_values.iter().take(kept).enumerate() {
        let (down, up) = (left.column(at), u.column(at));
        // The largest numbers of both are the same, so that 16-bit floats, which reach less far, have
        // room for both, and lose as little of the one as of the other.
        let (of_down, of_up) = (down.amax(), up.amax());
        let largest = (strength * of_down * of_up).sqrt();
        thin.down.extend(down.iter().map(|it| (it / of_down * largest) as f32));
        thin.up.extend(up.iter().map(|it| (it / of_up * largest) as f32));
    }
    Some(thin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(thin: &Thin, inner: usize, columns: usize) -> Vec<f32> {
        let mut product = vec![0.0; inner * columns];
        for (down, up) in thin.down.chunks(inner).zip(thin.up.chunks(columns)) {
            for (row, x) in product.chunks_mut(columns).zip(down) {
                row.iter_mut().zip(up).for_each(|(to, y)| *to += x * y);
            }
        }
        product
    }

    fn some(seed: usize, count: usize) -> Vec<f32> {
        let mut noise = Noise::new();
        let skipped = 1000 * seed;
        (0..skipped + count).map(|_| noise.float()).skip(skipped).collect()
    }

    #[test]
    fn a_matrix_of_low_rank_is_its_thin_ones_and_no_more_of_them() {
        for (inner, columns, rank) in [(40, 70, 3), (70, 40, 5), (5, 9, 4), (1, 6, 1), (90, 1, 1)] {
            let made = Thin { rank, down: some(1, rank * inner), up: some(2, rank * columns) };
            let matrix = product(&made, inner, columns);
            let found = factor(&matrix, inner, columns, 8).unwrap();
            assert!(found.rank <= rank, "{} of {rank}", found.rank);
            let again = product(&found, inner, columns);
            let apart = matrix.iter().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-4, "{apart} of {inner} by {columns}");
        }
    }

    #[test]
    fn both_reach_equally_far() {
        let made = Thin { rank: 2, down: some(1, 2 * 3), up: some(2, 2 * 500) };
        let scaled: Vec<f32> = product(&made, 3, 500).iter().map(|it| it * 1e6).collect();
        let found = factor(&scaled, 3, 500, 2).unwrap();
        for (down, up) in found.down.chunks(3).zip(found.up.chunks(500)) {
            let largest = |it: &[f32]| it.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
            let (down, up) = (largest(down), largest(up));
            assert!((down / up - 1.0).abs() < 1e-5, "{down} and {up}");
        }
    }

    #[test]
    fn what_is_left_out_of_a_full_matrix_is_what_is_weakest() {
        // A diagonal: what is kept of it is its largest numbers.
        let size = 30;
        let mut matrix = vec![0.0; size * size];
        for at in 0..size {
            matrix[at * size + at] = (at + 1) as f32;
        }
        let found = factor(&matrix, size, size, 4).unwrap();
        let kept = product(&found, size, size);
        for at in 0..size {
            let expected = if at >= size - 4 { (at + 1) as f32 } else { 0.0 };
            let found = kept[at * size + at];
            assert!((found - expected).abs() < 1e-2, "{found} is not {expected} at {at}");
        }
    }

    #[test]
    fn what_is_no_number_has_no_factors_and_nothing_has_none() {
        assert_eq!(factor(&[1.0, f32::NAN], 1, 2, 1), None);
        assert_eq!(factor(&[1.0, f32::INFINITY], 2, 1, 1), None);
        assert_eq!(factor(&[0.0; 6], 2, 3, 1).unwrap().rank, 0);
        assert_eq!(factor(&[1.0; 6], 2, 4, 1), None);
    }
}
