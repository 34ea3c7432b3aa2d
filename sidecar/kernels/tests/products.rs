//! Products over panels equal products computed one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use kernels::{Element, Finish, Helpers, KernelError, PanelShape, Panels, Scratch, lanes};
use proptest::prelude::*;

/// Bytes that start at a multiple of 64.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Self {
        let mut whole = vec![0; bytes.len() + 64];
        let start = whole.as_ptr().align_offset(64);
        whole[start..start + bytes.len()].copy_from_slice(bytes);
        Self { bytes: whole, start, length: bytes.len() }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

fn numbers(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 37 + seed * 11) % 101) as f32 * 0.02 - 1.0).collect()
}

fn packed(shape: &PanelShape, weights: &[f32], bias: Option<&[f32]>) -> Aligned {
    let mut bytes = Vec::new();
    shape.pack(weights, bias, &mut bytes).unwrap();
    assert_eq!(bytes.len(), shape.bytes().unwrap());
    Aligned::new(&bytes)
}

fn expected(left: &[f32], rows: usize, weights: &[f32], bias: &[f32], inner: usize) -> Vec<f32> {
    let columns = bias.len();
    let mut all = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let sum: f64 = (0..inner)
                .map(|at| {
                    f64::from(left[row * inner + at]) * f64::from(weights[at * columns + column])
                })
                .sum();
            all.push((sum + f64::from(bias[column])) as f32);
        }
    }
    all
}

fn check(rows: usize, inner: usize, columns: usize, has_bias: bool, element: Element, within: f32) {
    let (left, weights) = (numbers(1, rows * inner), numbers(2, inner * columns));
    let bias = if has_bias { numbers(3, columns) } else { vec![0.0; columns] };
    let shape = PanelShape { inner, columns, has_bias, element, lanes: lanes() };
    let bytes = packed(&shape, &weights, has_bias.then_some(bias.as_slice()));
    let panels = Panels::new(bytes.bytes(), shape).unwrap();
    let wanted = expected(&left, rows, &weights, &bias, inner);
    for mut scratch in [Scratch::default(), Scratch::portable()] {
        let mut output = vec![f32::NAN; rows * columns];
        scratch.product(&left, rows, &panels, Finish::None, &mut output).unwrap();
        for (at, (found, wanted)) in output.iter().zip(&wanted).enumerate() {
            assert!(
                (found - wanted).abs() <= within * (1.0 + inner as f32),
                "{rows}x{inner}x{columns} {element:?} at {at}: {found} is not {wanted}"
            );
        }
        scratch.product(&left, rows, &panels, Finish::Relu, &mut output).unwrap();
        assert!(output.iter().all(|it| *it >= 0.0));
    }
}

#[test]
fn every_number_of_rows_is_computed() {
    for rows in (1..=70).chain([239, 240, 241, 500]) {
        check(rows, 17, 33, true, Element::F32, 1e-6);
    }
}

#[test]
fn long_and_wide_matrices_are_computed() {
    check(33, 3000, 50, true, Element::F32, 1e-5);
    check(7, 40, 5000, true, Element::F32, 1e-6);
    check(1, 512, 2048, true, Element::F32, 1e-6);
}

#[test]
fn narrow_elements_come_close() {
    check(33, 300, 50, true, Element::F16, 1e-3);
    check(33, 300, 50, true, Element::I8, 1e-2);
    check(5, 300, 50, false, Element::I8, 1e-2);
    for inner in [1, 3, 31, 32, 33, 300] {
        check(1, inner, 50, true, Element::F16, 1e-3);
        check(1, inner, 50, false, Element::I8, 1e-2);
    }
}

#[test]
fn a_row_comes_out_the_same_whatever_the_batch() {
    if !kernels::kernel_names().any(|name| name == kernels::TILES) {
        eprintln!("SKIPPED: without AVX-512, how a row is summed up depends on the batch");
        return;
    }
    let (inner, columns) = (77, 50);
    for element in [Element::F32, Element::F16, Element::I8] {
        let shape = PanelShape { inner, columns, has_bias: true, element, lanes: lanes() };
        let bytes = packed(&shape, &numbers(2, inner * columns), Some(&numbers(3, columns)));
        let panels = Panels::new(bytes.bytes(), shape).unwrap();
        let mut scratch = Scratch::default();
        let left = numbers(1, 300 * inner);
        let mut answer = |left: &[f32]| {
            let rows = left.len() / inner;
            let mut output = vec![f32::NAN; rows * columns];
            scratch.product(left, rows, &panels, Finish::None, &mut output).unwrap();
            output
        };
        let alone: Vec<f32> = left.chunks(inner).flat_map(&mut answer).collect();
        for rows in (1..=70).chain([300]) {
            assert!(answer(&left[..rows * inner]) == alone[..rows * columns], "{rows} rows");
        }
    }
}

#[test]
fn helpers_change_no_bit() {
    let (inner, columns) = (600, 2000);
    let weights = numbers(2, inner * columns);
    let bias = numbers(3, columns);
    for element in [Element::F32, Element::F16, Element::I8] {
        let shape = PanelShape { inner, columns, has_bias: true, element, lanes: lanes() };
        let bytes = packed(&shape, &weights, Some(&bias));
        let panels = Panels::new(bytes.bytes(), shape).unwrap();
        for rows in [1, 2, 7, 32, 65] {
            let left = numbers(1, rows * inner);
            let mut alone = vec![f32::NAN; rows * columns];
            Scratch::default().product(&left, rows, &panels, Finish::Relu, &mut alone).unwrap();
            for cores in [1, 2, 3, 8] {
                let helpers = Helpers::new(cores);
                let _busy = helpers.busy();
                let mut together = vec![f32::NAN; rows * columns];
                let mut scratch = Scratch::default();
                for _ in 0..2 {
                    scratch
                        .product_with(&helpers, &left, rows, &panels, Finish::Relu, &mut together)
                        .unwrap();
                    assert!(alone == together, "{element:?}, {rows} rows, {cores} cores");
                }
            }
        }
    }
}

#[test]
fn panels_give_their_matrix_back() {
    let shape =
        PanelShape { inner: 7, columns: 19, has_bias: true, element: Element::F32, lanes: lanes() };
    let (weights, bias) = (numbers(4, 7 * 19), numbers(5, 19));
    let bytes = packed(&shape, &weights, Some(&bias));
    assert_eq!(Panels::new(bytes.bytes(), shape).unwrap().unpack(), (weights, bias));
}

#[test]
fn a_matrix_that_is_not_packed_is_multiplied_whatever_its_strides() {
    let (rows, inner, columns) = (9, 13, 21);
    let (left, right) = (numbers(1, rows * inner), numbers(2, inner * columns));
    let wanted = expected(&left, rows, &right, &vec![0.0; columns], inner);
    let transposed: Vec<f32> =
        (0..columns * inner).map(|at| right[(at % inner) * columns + at / inner]).collect();
    for (right, strides) in [(&right, (columns, 1)), (&transposed, (1, inner))] {
        let mut output = vec![f32::NAN; rows * columns];
        Scratch::default()
            .product_of_plain(&left, rows, right, (inner, columns), strides, &mut output)
            .unwrap();
        for (found, wanted) in output.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-5, "{found} is not {wanted}");
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let shape =
        PanelShape { inner: 4, columns: 4, has_bias: false, element: Element::F32, lanes: lanes() };
    let bytes = packed(&shape, &[0.5; 16], None);
    let panels = Panels::new(bytes.bytes(), shape).unwrap();
    let mut scratch = Scratch::default();
    let mut product = |left: usize, rows, output: usize| {
        scratch.product(&vec![0.0; left], rows, &panels, Finish::None, &mut vec![0.0; output])
    };
    assert!(product(8, 2, 8).is_ok());
    assert!(product(7, 2, 8).is_err());
    assert!(product(8, 2, 9).is_err());
    assert!(product(8, usize::MAX, 8).is_err());
    assert!(matches!(
        Panels::new(&bytes.bytes()[..64], shape),
        Err(KernelError::Length { operand: "panels", .. })
    ));
    let huge = PanelShape { inner: usize::MAX / 2, ..shape };
    assert!(matches!(Panels::new(bytes.bytes(), huge), Err(KernelError::TooLarge { .. })));
    let shifted = Aligned::new(&[&[0_u8; 4][..], bytes.bytes()].concat());
    assert!(matches!(
        Panels::new(&shifted.bytes()[4..], shape),
        Err(KernelError::Misaligned { .. })
    ));
    let other = PanelShape { lanes: lanes() + 1, ..shape };
    let bytes = Aligned::new(&vec![0; other.bytes().unwrap()]);
    let panels = Panels::new(bytes.bytes(), other).unwrap();
    let refused =
        Scratch::default().product(&[0.0; 8], 2, &panels, Finish::None, &mut [0.0; 8]).unwrap_err();
    assert!(matches!(refused, KernelError::Lanes { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_of_every_shape_are_right(
        rows in 1_usize..40, inner in 0_usize..40, columns in 1_usize..70, has_bias: bool,
    ) {
        check(rows, inner, columns, has_bias, Element::F32, 1e-6);
    }
}

#[test]
fn a_matrix_without_columns_is_unpacked_however_many_rows_it_says_that_it_has() {
    for element in [Element::F32, Element::F16, Element::I8] {
        let shape =
            PanelShape { inner: 1 << 50, columns: 0, has_bias: true, element, lanes: lanes() };
        let nothing = Aligned::new(&[]);
        let panels = Panels::new(nothing.bytes(), shape).unwrap();
        assert_eq!(panels.unpack(), (vec![], vec![]));
    }
}
