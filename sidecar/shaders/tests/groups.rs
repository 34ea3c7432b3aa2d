//! Which steps run as one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod support;

use inference::plan::{Binary, Kind, Step, Unary};
use proptest::prelude::*;
use support::{Batch, Case, Is, alone, together, validate_all};

fn unary(op: Unary, input: u32, output: u32) -> Step {
    Step::Unary { op, input, output }
}

/// How many steps each group of a plan has.
fn lengths(case: Case, answer: u32) -> Vec<usize> {
    let case = case.answer(answer);
    validate_all(&case.fused(&alone(5)).unwrap());
    shaders::fuse(case.archived(), |_| true).iter().map(|it| it.indices().len()).collect()
}

#[test]
fn what_somebody_else_reads_or_is_answered_is_written() {
    let shape = [Batch, Is(4)];
    let mut case = Case::new();
    let input = case.input(Kind::F32, &shape);
    let [a, b, c, d] = [(); 4].map(|()| case.slot(Kind::F32, &shape));
    case.step(unary(Unary::Exp, input, a));
    case.step(unary(Unary::Neg, a, b));
    case.step(unary(Unary::Abs, b, c));
    let alone = case.clone();
    assert_eq!(lengths(alone, c), [3]);
    // The second one's is read again later.
    case.step(Step::Binary { op: Binary::Add, left: b, right: c, output: d });
    assert_eq!(lengths(case.clone(), d), [4]);
    case.plan.outputs.push(b);
    assert_eq!(lengths(case, d), [2, 2]);
}

#[test]
fn a_reshaped_value_is_what_was_written_to_its_slot() {
    let mut case = Case::new();
    let input = case.input(Kind::F32, &[Batch, Is(4)]);
    let a = case.slot(Kind::F32, &[Batch, Is(4)]);
    let slot = case.plan.slots - 1;
    let reshaped = case.in_slot(Kind::F32, &[Batch, Is(2), Is(2)], slot);
    let (b, c) = (
        case.slot(Kind::F32, &[Batch, Is(2), Is(2)]),
        case.slot(Kind::F32, &[Batch, Is(2), Is(1)]),
    );
    case.step(unary(Unary::Exp, input, a));
    case.step(unary(Unary::Neg, reshaped, b));
    assert_eq!(lengths(case.clone(), b), [2]);
    // A reduction of it reads other elements than its own.
    case.step(Step::Reduce {
        op: inference::plan::Reduction::Sum,
        input: b,
        output: c,
        axis: 2,
        axes: 1,
    });
    assert_eq!(lengths(case, c), [2, 1]);
}

#[test]
fn a_slot_that_is_written_while_others_are_read_keeps_steps_apart() {
    let mut case = Case::new();
    let input = case.input(Kind::F32, &[Batch, Is(4)]);
    let row = case.slot(Kind::F32, &[Is(1), Is(4)]);
    let slot = case.plan.slots - 1;
    let fixed = case.constant(Kind::F32, &[1, 4]);
    let a = case.slot(Kind::F32, &[Batch, Is(4)]);
    // The last one writes where the repeated row was.
    let b = case.in_slot(Kind::F32, &[Batch, Is(4)], slot);
    case.step(unary(Unary::Exp, fixed, row));
    case.step(Step::Binary { op: Binary::Add, left: input, right: row, output: a });
    case.step(unary(Unary::Neg, a, b));
    assert_eq!(lengths(case, b), [1, 1, 1]);
}

#[test]
fn pieces_are_read_where_they_are() {
    let mut case = Case::new();
    let shape = [Batch, Is(4)];
    let wide = case.input(Kind::F32, &[Batch, Is(3), Is(4)]);
    let [zero, two] = [0, 2].map(|it| case.dimension(inference::plan::Dimension::fixed(it)));
    let [a, b, c, d, e] = [(); 5].map(|()| case.slot(Kind::F32, &shape));
    let piece = |start, output| Step::Move {
        input: wide,
        output,
        axes: vec![0, 2],
        starts: vec![zero, start, zero],
    };
    case.step(piece(two, a));
    case.step(unary(Unary::Exp, a, b));
    case.step(piece(zero, c));
    case.step(Step::Binary { op: Binary::Mul, left: b, right: c, output: d });
    assert_eq!(lengths(case.clone(), d), [4]);
    // One at the end is no function.
    case.step(piece(zero, e));
    assert_eq!(lengths(case.clone(), d), [4, 1]);
    // One that others read too is written.
    case.plan.outputs.push(c);
    assert_eq!(lengths(case, d), [2, 1, 1, 1]);
}

#[test]
fn a_piece_of_what_is_computed_is_no_part_of_the_same_kernel() {
    let mut case = Case::new();
    let shape = [Batch, Is(4)];
    let input = case.input(Kind::F32, &shape);
    let [a, b, c] = [(); 3].map(|()| case.slot(Kind::F32, &shape));
    case.step(unary(Unary::Exp, input, a));
    case.step(Step::Move { input: a, output: b, axes: vec![0, 1], starts: vec![] });
    case.step(unary(Unary::Neg, b, c));
    assert_eq!(lengths(case, c), [1, 2]);
}

#[test]
fn a_piece_beyond_its_input_is_refused() {
    let mut case = Case::new();
    let shape = [Batch, Is(4)];
    let wide = case.input(Kind::F32, &[Batch, Is(3), Is(4)]);
    let [zero, three] = [0, 3].map(|it| case.dimension(inference::plan::Dimension::fixed(it)));
    let [a, b] = [(); 2].map(|()| case.slot(Kind::F32, &shape));
    let starts = vec![zero, three, zero];
    case.step(Step::Move { input: wide, output: a, axes: vec![0, 2], starts });
    case.step(unary(Unary::Exp, a, b));
    assert!(case.answer(b).fused(&alone(2)).is_err());
}

/// A chain of random steps over a few slots, each shape repeated or not.
fn chain() -> impl Strategy<Value = Vec<(u8, u8, u8, u8)>> {
    prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_fused_is_a_shader_and_every_step_is_in_one_group(
        steps in chain(), batch in 0_u32..70, rows in prop::collection::vec(0_u32..9, 1..4)
    ) {
        let mut case = Case::new();
        let shapes = [[Batch, Is(3)], [Batch, Is(1)], [Is(1), Is(3)]];
        let input = case.input(Kind::F32, &shapes[0]);
        let mut values = vec![(input, 0), (case.constant(Kind::F32, &[1, 3]), 2)];
        for (op, left, right, slot) in steps {
            let (left, shape) = values[left as usize % values.len()];
            let (right, _) = values[right as usize % values.len()];
            if op % 3 == 0 {
                let output = case.slot(Kind::F32, &shapes[0]);
                case.step(Step::Binary { op: Binary::Mul, left, right, output });
                values.push((output, 0));
            } else {
                let output = if slot % 4 == 0 && case.plan.slots > 0 {
                    let slot = u32::from(slot) % case.plan.slots;
                    case.in_slot(Kind::F32, &shapes[shape], slot)
                } else {
                    case.slot(Kind::F32, &shapes[shape])
                };
                let op = if op % 2 == 0 { Unary::Tanh } else { Unary::LeakyRelu(0.1) };
                case.step(unary(op, left, output));
                values.push((output, shape));
            }
        }
        let answer = values[values.len() - 1].0;
        let case = case.answer(answer);
        let groups = shaders::fuse(case.archived(), |_| true);
        let all: Vec<usize> = groups.iter().flat_map(|it| it.indices().to_vec()).collect();
        prop_assert_eq!(all, (0..case.plan.steps.len()).collect::<Vec<_>>());
        for shape in [alone(batch), together(&rows)] {
            // Constants of several models in what has no rows are refused.
            if let Ok(dispatches) = case.fused(&shape) {
                validate_all(&dispatches);
            }
        }
        let apart = shaders::fuse(case.archived(), |_| false);
        prop_assert!(apart.iter().all(|it| it.indices().len() == 1));
    }
}
