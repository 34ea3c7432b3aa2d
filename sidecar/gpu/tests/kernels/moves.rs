//! Moves, joins and look-ups.

use inference::{
    TensorData,
    plan::{Kind, Step},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::{
    case::{Batch, Case, Dim, Is},
    compare::{assert_near, odd, whole},
    llvmpipe::device,
};

const KINDS: [Kind; 4] = [Kind::Bool, Kind::I32, Kind::I64, Kind::F32];

pub fn data(kind: Kind, seed: usize, count: usize) -> TensorData {
    match kind {
        Kind::Bool => {
            TensorData::Bool(whole(seed, count).into_iter().map(|it| it & 2 == 0).collect())
        }
        Kind::I32 => {
            TensorData::Int32(whole(seed, count).into_iter().map(|it| it as i32).collect())
        }
        Kind::I64 => TensorData::Int64(whole(seed, count)),
        _ => TensorData::Fp32(odd(seed, count)),
    }
}

#[test]
fn moves_are_the_cpus() {
    let Some(device) = device() else { return };
    let strategy = (
        prop::collection::vec(1_i64..6, 1..4),
        Just([0_usize, 1, 2, 3]).prop_shuffle(),
        prop::collection::vec((0_i64..3, 0_i64..3), 4),
        1_i64..4,
        0_usize..4,
        any::<bool>(),
    );
    let mut runner =
        TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(dims, order, cuts, batch, kind, repeats)| {
            let kind = KINDS[kind];
            let mut case = Case::new();
            // The input's dimensions behind the batch, of which a piece is taken.
            let full: Vec<i64> =
                dims.iter().zip(&cuts).map(|(dim, (before, after))| dim + before + after).collect();
            let mut shape = vec![Batch];
            shape.extend(full.iter().map(|it| Is(*it)));
            let input = case.input(kind, &shape);
            let rank = shape.len();
            let axes: Vec<u32> =
                order.iter().filter(|it| **it < rank).map(|it| *it as u32).collect();
            let mut starts = vec![case.dimension(Is(0))];
            starts.extend(
                cuts.iter()
                    .take(dims.len())
                    .map(|(before, _)| case.dimension(Is(*before)))
                    .collect::<Vec<_>>(),
            );
            let mut to: Vec<Dim> = axes
                .iter()
                .map(|axis| if *axis == 0 { Batch } else { Is(dims[*axis as usize - 1]) })
                .collect();
            let mut axes = axes;
            if repeats {
                axes.insert(1, rank as u32);
                to.insert(1, Is(3));
            }
            let output = case.slot(kind, &to);
            case.step(Step::Move { input, output, axes, starts });
            case.answer(output);
            let count = (batch * full.iter().product::<i64>()) as usize;
            let request = case.request(batch, vec![data(kind, 7, count)]);
            // Outputs without the batch in front are no outputs of the signature that is checked, but of plans.
            assert_near(&case.both(device, &request), 0.0, &format!("{:?}", case.plan));
            Ok(())
        })
        .unwrap();
}

#[test]
fn joins_are_the_cpus() {
    let Some(device) = device() else { return };
    for kind in KINDS {
        for (axis, widths) in [(1, [2, 1, 3]), (1, [1, 1, 1]), (2, [4, 1, 2])] {
            let mut case = Case::new();
            let shape = |width: i64| {
                if axis == 1 { [Batch, Is(width), Is(3)] } else { [Batch, Is(2), Is(width)] }
            };
            let inputs: Vec<u32> =
                widths.iter().map(|width| case.input(kind, &shape(*width))).collect();
            let output = case.slot(kind, &shape(widths.iter().sum()));
            case.step(Step::Concat { axis, inputs, output });
            case.answer(output);
            let count = |width: i64| (5 * width * if axis == 1 { 3 } else { 2 }) as usize;
            let parts = widths
                .iter()
                .enumerate()
                .map(|(at, width)| data(kind, at, count(*width)))
                .collect();
            assert_near(
                &case.both(device, &case.request(5, parts)),
                0.0,
                &format!("{:?}", case.plan),
            );
        }
    }
}

#[test]
fn look_ups_are_the_cpus() {
    let Some(device) = device() else { return };
    for kind in KINDS {
        let mut case = Case::new();
        let table = case.constant(kind, &[10, 3], &data(kind, 1, 30));
        let indices = case.input(Kind::I64, &[Batch, Is(2)]);
        let output = case.slot(kind, &[Batch, Is(2), Is(3)]);
        case.step(Step::Gather { axis: 0, table, indices, output });
        let own = case.input(kind, &[Batch, Is(4), Is(2)]);
        let fixed = case.constant(Kind::I64, &[3], &TensorData::Int64(vec![3, -1, 0]));
        let picked = case.slot(kind, &[Batch, Is(3), Is(2)]);
        case.step(Step::Gather { axis: 1, table: own, indices: fixed, output: picked });
        case.answer(output);
        case.answer(picked);
        let indices = TensorData::Int64(vec![0, 9, -1, -10, 5, 5, 3, -4]);
        let request = case.request(4, vec![indices, data(kind, 2, 32)]);
        assert_near(&case.both(device, &request), 0.0, &format!("{kind:?}"));
    }
}

#[test]
fn an_index_beyond_its_table_fails_and_reads_nothing() {
    let Some(device) = device() else { return };
    for index in [10, -11, i64::MAX, i64::MIN, 1 << 32, -(1 << 32)] {
        let mut case = Case::new();
        let table = case.constant(Kind::F32, &[10, 3], &data(Kind::F32, 1, 30));
        let indices = case.input(Kind::I64, &[Batch]);
        let output = case.slot(Kind::F32, &[Batch, Is(3)]);
        case.step(Step::Gather { axis: 0, table, indices, output });
        case.answer(output);
        let request = case.request(3, vec![TensorData::Int64(vec![1, index, 2])]);
        for failed in case.both_fail(device, &request) {
            assert!(failed.to_string().contains(&index.to_string()), "{failed}");
        }
    }
}
