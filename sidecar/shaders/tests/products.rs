//! Products as shaders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod support;

use inference::plan::{Binary, Dimension, Kind, Step, Term, Unary, WeightKind};
use shaders::{CooperativeMatrix, Delta, Group, Limits, Part};
use support::{Batch, Case, Is, alone, together, validate_all};

#[test]
fn products_are_shaders_whatever_their_rows_and_weights() {
    for element in [WeightKind::F32, WeightKind::F16, WeightKind::I8] {
        for has_bias in [false, true] {
            let mut case = Case::new();
            let matrix = case.matrix(300, 200, has_bias, element);
            let input = case.input(Kind::F32, &[Batch, Is(300)]);
            let output = case.slot(Kind::F32, &[Batch, Is(200)]);
            case.step(Step::Product { input, matrix, output, relu: has_bias });
            let case = case.answer(output);
            for batch in [0, 1, 3, 7, 9, 200, 3000] {
                for lanes in [4, 8, 16, 32, 64] {
                    let dispatches = case.steps(&support::Shape { lanes, ..alone(batch) }).unwrap();
                    assert_eq!(dispatches.len(), usize::from(batch > 0));
                    validate_all(&dispatches);
                }
            }
            validate_all(&case.steps(&together(&[1, 1, 2])).unwrap());
            validate_all(&case.steps(&together(&[100, 30])).unwrap());
        }
    }
}

#[test]
fn what_follows_a_product_is_computed_with_it() {
    let mut case = Case::new();
    let matrix = case.matrix(30, 20, true, WeightKind::F32);
    let input = case.input(Kind::F32, &[Batch, Is(30)]);
    let shape = [Batch, Is(20)];
    let (product, sum) = (case.slot(Kind::F32, &shape), case.slot(Kind::F32, &shape));
    let (curve, other) = (case.slot(Kind::F32, &shape), case.constant(Kind::F32, &[1, 20]));
    let output = case.slot(Kind::F32, &shape);
    case.step(Step::Product { input, matrix, output: product, relu: false });
    case.step(Step::Binary { op: Binary::Add, left: product, right: other, output: sum });
    case.step(Step::Unary { op: Unary::Sigmoid, input: sum, output: curve });
    case.step(Step::Binary { op: Binary::Mul, left: sum, right: curve, output });
    let case = case.answer(output);
    for shape in [alone(1), alone(50), together(&[3, 4, 1])] {
        let dispatches = case.fused(&shape).unwrap();
        assert_eq!(dispatches.len(), 1);
        validate_all(&dispatches);
    }
}

#[test]
fn products_of_two_tensors_are_shaders() {
    for transposed in [false, true] {
        for [rows, inner, columns] in [[1, 1, 1], [7, 0, 3], [50, 64, 70], [300, 40, 300]] {
            let mut case = Case::new();
            let left = case.input(Kind::F32, &[Batch, Is(rows), Is(inner)]);
            let shape = if transposed {
                [Batch, Is(columns), Is(inner)]
            } else {
                [Batch, Is(inner), Is(columns)]
            };
            let right = case.input(Kind::F32, &shape);
            let shape = [Batch, Is(rows), Is(columns)];
            let (product, output) = (case.slot(Kind::F32, &shape), case.slot(Kind::F32, &shape));
            let mut number = |term| case.dimension(Dimension { terms: vec![term] });
            let dimensions = [
                number(Term::Symbol(0)),
                number(Term::Number(rows)),
                number(Term::Number(inner)),
                number(Term::Number(columns)),
            ];
            case.step(Step::MatMul { left, right, output: product, dimensions, transposed });
            case.step(Step::Unary { op: Unary::Tanh, input: product, output });
            let case = case.answer(output);
            for batch in [0, 1, 20, 70_000] {
                if batch * 2 * (rows * inner).max(inner * columns).max(rows * columns) >= 1 << 30 {
                    continue;
                }
                let dispatches = case.fused(&alone(batch as u32)).unwrap();
                assert_eq!(dispatches.len(), (batch as usize).div_ceil(65_535));
                validate_all(&dispatches);
            }
        }
    }
}

#[test]
fn what_models_add_to_a_product_is_a_dispatch_for_all_of_them() {
    let mut case = Case::new();
    let matrix = case.matrix(30, 20, true, WeightKind::F32);
    let input = case.input(Kind::F32, &[Batch, Is(30)]);
    let output = case.slot(Kind::F32, &[Batch, Is(20)]);
    case.step(Step::Product { input, matrix, output, relu: true });
    let case = case.answer(output);
    let delta = |at: u64| Delta { matrix, rank: 4, down: at, up: at + 128, bias: None };
    let (one, two) = ([delta(1 << 18)], [delta(1 << 19)]);
    let part = |rows, deltas| Part { rows, deltas, ..Part::default() };
    let mut shape = alone(8);
    shape.parts = vec![part(3, &one[..]), part(1, &[]), part(4, &two[..])];
    let dispatches = case.steps(&shape).unwrap();
    assert_eq!(dispatches.len(), 2);
    assert_eq!(dispatches[1].workgroups, [1, 8, 1]);
    validate_all(&dispatches);
    // Far apart in the slab, each is bound for itself.
    let far = [Delta { up: support::SLOT_WORDS - 80, ..delta(support::SLOT_WORDS - 256) }];
    shape.parts = vec![part(3, &one[..]), part(5, &far[..])];
    let narrow = Limits { binding_bytes: 1 << 20, ..support::roomy() };
    let dispatches = case.run(&shape, &[Group::single(0)], &narrow).unwrap();
    assert_eq!(dispatches.len(), 3);
    assert!(dispatches.iter().all(|it| (it.fixed.end - it.fixed.start) * 4 <= 1 << 20));
    // What does not lie in the slab is refused.
    let outside = [delta(support::SLOT_WORDS)];
    shape.parts = vec![part(8, &outside[..])];
    assert!(case.steps(&shape).is_err());
}

#[test]
fn a_matrix_that_is_not_bound_at_once_is_taken_panels_by_panels() {
    let mut case = Case::new();
    let matrix = case.matrix(500, 250, true, WeightKind::F32);
    let input = case.input(Kind::F32, &[Batch, Is(500)]);
    let output = case.slot(Kind::F32, &[Batch, Is(250)]);
    case.step(Step::Product { input, matrix, output, relu: true });
    let case = case.answer(output);
    let narrow = Limits { binding_bytes: 1 << 17, ..support::roomy() };
    for batch in [1, 100] {
        let dispatches = case.run(&alone(batch), &[Group::single(0)], &narrow).unwrap();
        assert!(dispatches.len() >= 4);
        let columns: u32 = dispatches.iter().map(|it| it.params[4]).sum();
        assert_eq!(columns, 250);
        validate_all(&dispatches);
    }
}

#[test]
fn products_by_cooperative_matrices_are_shaders_where_a_device_has_them() {
    let sizes = [(8, 8), (16, 32), (16, 64)];
    let elements = [WeightKind::F16, WeightKind::F32];
    for ((side, subgroup), element) in sizes.into_iter().flat_map(|it| elements.map(|e| (it, e))) {
        let limits = Limits {
            cooperative_matrix: Some(CooperativeMatrix { side, subgroup }),
            subgroups: true,
            f16: true,
            ..support::roomy()
        };
        let mut case = Case::new();
        let matrix = case.matrix(100, 200, true, element);
        let input = case.input(Kind::F32, &[Batch, Is(100)]);
        let output = case.slot(Kind::F32, &[Batch, Is(200)]);
        case.step(Step::Product { input, matrix, output, relu: true });
        let case = case.answer(output);
        for batch in [3, 300] {
            let dispatches = case.run(&alone(batch), &[Group::single(0)], &limits).unwrap();
            let is_cooperative = dispatches[0].shader.features().cooperative_matrix;
            assert_eq!(is_cooperative, element == WeightKind::F16 && batch == 300);
            validate_all(&dispatches);
        }
    }
}
