//! Moves, joins and look-ups as shaders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod support;

use inference::plan::{Along, Kind, Step, Tap, Windowed};
use support::{Batch, Case, Is, alone, together, validate_all};

const KINDS: [Kind; 4] = [Kind::Bool, Kind::I32, Kind::I64, Kind::F32];

#[test]
fn moves_are_shaders_of_any_kind_and_place() {
    for kind in KINDS {
        let mut case = Case::new();
        let input = case.input(kind, &[Batch, Is(3), Is(5)]);
        let fixed = case.constant(kind, &[3, 5]);
        let output = case.slot(kind, &[Batch, Is(5), Is(3)]);
        case.step(Step::Move { input, output, axes: vec![0, 2, 1], starts: vec![] });
        case.step(Step::Move { input: fixed, output, axes: vec![2, 1, 0], starts: vec![] });
        let case = case.answer(output);
        for shape in [alone(0), alone(1), alone(70_000), together(&[1, 5])] {
            let dispatches = case.steps(&shape).unwrap();
            assert_eq!(dispatches.len(), if shape.batch == 0 { 0 } else { 2 });
            validate_all(&dispatches);
        }
    }
}

#[test]
fn a_move_beyond_its_input_is_refused() {
    let mut case = Case::new();
    let input = case.input(Kind::F32, &[Batch, Is(4)]);
    let output = case.slot(Kind::F32, &[Batch, Is(4)]);
    let start = case.dimension(inference::plan::Dimension::fixed(1));
    case.step(Step::Move { input, output, axes: vec![0, 1], starts: vec![start, start] });
    let case = case.answer(output);
    assert!(case.steps(&alone(2)).is_err());
}

#[test]
fn joins_are_a_dispatch_for_each_input_or_one_for_many_of_a_length() {
    for kind in KINDS {
        let mut case = Case::new();
        let a = case.input(kind, &[Batch, Is(3), Is(2)]);
        let b = case.input(kind, &[Batch, Is(0), Is(2)]);
        let c = case.input(kind, &[Batch, Is(1), Is(2)]);
        let output = case.slot(kind, &[Batch, Is(4), Is(2)]);
        case.step(Step::Concat { axis: 1, inputs: vec![a, b, c], output });
        let whole = case.slot(kind, &[Batch, Is(9), Is(2)]);
        case.step(Step::Concat { axis: 1, inputs: vec![a, a, a], output: whole });
        let fixed = case.constant(kind, &[1, 3, 2]);
        let mixed = case.slot(kind, &[Is(1), Is(9), Is(2)]);
        case.step(Step::Concat { axis: 1, inputs: vec![fixed, fixed, fixed], output: mixed });
        let dispatches = case.answer(output).steps(&alone(3)).unwrap();
        assert_eq!(dispatches.len(), 2 + 1 + 3);
        validate_all(&dispatches);
    }
}

#[test]
fn look_ups_are_shaders_wherever_table_and_indices_are() {
    for kind in KINDS {
        let mut case = Case::new();
        let table = case.constant(kind, &[10, 4]);
        let indices = case.input(Kind::I64, &[Batch]);
        let output = case.slot(kind, &[Batch, Is(4)]);
        case.step(Step::Gather { axis: 0, table, indices, output });
        let own = case.input(kind, &[Batch, Is(10), Is(4)]);
        let fixed = case.constant(Kind::I64, &[1]);
        let picked = case.slot(kind, &[Batch, Is(1), Is(4)]);
        case.step(Step::Gather { axis: 1, table: own, indices: fixed, output: picked });
        let case = case.answer(output);
        for shape in [alone(0), alone(1), alone(1000), together(&[1, 5])] {
            validate_all(&case.steps(&shape).unwrap());
        }
    }
}

/// A window of two by three over images of five by six, with some padding.
fn along(shows: bool) -> (Vec<Along>, Vec<Tap>) {
    let mut along = vec![
        Along { axis: 0, stride: 1, start: 0 },
        Along { axis: 1, stride: 2, start: -1 },
        Along { axis: 2, stride: 1, start: -1 },
    ];
    let mut taps = vec![Tap { axis: 1, stride: 1, count: 2 }, Tap { axis: 2, stride: 1, count: 3 }];
    if shows {
        let shown = taps.drain(..);
        along.extend(shown.map(|it| Along { axis: it.axis, stride: it.stride, start: 0 }));
    }
    along.push(Along { axis: 3, stride: 1, start: 0 });
    (along, taps)
}

#[test]
fn windows_are_shaders_of_any_kind_and_place() {
    for kind in KINDS {
        let mut case = Case::new();
        let input = case.input(kind, &[Batch, Is(5), Is(6), Is(4)]);
        let fixed = case.constant(kind, &[1, 5, 6, 4]);
        let output = case.slot(kind, &[Batch, Is(3), Is(6), Is(2), Is(3), Is(4)]);
        let (op, weights, fill) = (Windowed::Copy, None, 1.0);
        let (mut along, taps) = along(true);
        let step = Step::Window { op, input, weights, output, along: along.clone(), taps, fill };
        case.step(step);
        along[0].axis = 4;
        case.step(Step::Window { op, input: fixed, weights, output, along, taps: vec![], fill });
        let case = case.answer(output);
        for shape in [alone(0), alone(1), alone(700), together(&[1, 5])] {
            let dispatches = case.steps(&shape).unwrap();
            assert_eq!(dispatches.len(), if shape.batch == 0 { 0 } else { 2 });
            validate_all(&dispatches);
        }
    }
}

#[test]
fn what_windows_show_is_taken_at_once() {
    for (op, is_weighted) in [(Windowed::Max, false), (Windowed::Sum, false), (Windowed::Sum, true)]
    {
        let mut case = Case::new();
        let input = case.input(Kind::F32, &[Batch, Is(5), Is(6), Is(4)]);
        let weights = is_weighted.then(|| case.constant(Kind::F32, &[2, 3, 4]));
        let output = case.slot(Kind::F32, &[Batch, Is(3), Is(6), Is(4)]);
        let (along, taps) = along(false);
        case.step(Step::Window { op, input, weights, output, along, taps, fill: 0.0 });
        let case = case.answer(output);
        for shape in [alone(1), alone(700), together(&[1, 5])] {
            let dispatches = case.steps(&shape).unwrap();
            assert_eq!(dispatches.len(), 1);
            validate_all(&dispatches);
        }
    }
}

#[test]
fn a_window_that_goes_further_than_a_device_counts_is_refused() {
    let mut case = Case::new();
    let input = case.input(Kind::F32, &[Batch, Is(4)]);
    let output = case.slot(Kind::F32, &[Batch, Is(4)]);
    let far = Along { axis: 1, stride: (1 << 31) - 1, start: 0 };
    case.step(Step::Window {
        op: Windowed::Copy,
        input,
        weights: None,
        output,
        along: vec![Along { axis: 0, stride: 1, start: 0 }, far],
        taps: vec![],
        fill: 0.0,
    });
    let case = case.answer(output);
    assert!(case.steps(&alone(2)).is_err());
}
