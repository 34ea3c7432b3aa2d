//! Windows that are moved over an input.

use inference::{
    TensorData,
    plan::{Along, Kind, Step, Tap, Windowed},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::{
    case::{Batch, Case, Dim, Is},
    compare::{assert_near, odd, plain},
    llvmpipe::device,
    moves::data,
};

const KINDS: [Kind; 4] = [Kind::Bool, Kind::I32, Kind::I64, Kind::F32];

/// A dimension behind the batch: how long it is, and how a window of so many elements moves over it.
type Dimension = (i64, i64, i64, i64, i64, u32);

fn dimensions() -> impl Strategy<Value = Vec<Dimension>> {
    let one = (1_i64..7, -2_i64..4, -3_i64..3, 1_i64..5, -1_i64..3, 1_u32..4);
    prop::collection::vec(one, 1..4)
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() })
}

/// A window over `dims` and, behind them, channels.
fn window(
    dims: &[Dimension],
    channels: i64,
    shows: bool,
) -> (Vec<Dim>, Vec<Dim>, Vec<Along>, Vec<Tap>) {
    let from = dims.iter().map(|it| Is(it.0)).chain([Is(channels)]);
    let from: Vec<Dim> = std::iter::once(Batch).chain(from).collect();
    let mut to: Vec<Dim> = std::iter::once(Batch).chain(dims.iter().map(|it| Is(it.3))).collect();
    let axes = || (1..).zip(dims);
    let mut along = vec![Along { axis: 0, stride: 1, start: 0 }];
    along.extend(axes().map(|(axis, it)| Along { axis, stride: it.1, start: it.2 }));
    let mut taps: Vec<Tap> =
        axes().map(|(axis, it)| Tap { axis, stride: it.4, count: it.5 }).collect();
    if shows {
        to.extend(taps.iter().map(|it| Is(i64::from(it.count))));
        let shown = taps.drain(..);
        along.extend(shown.map(|it| Along { axis: it.axis, stride: it.stride, start: 0 }));
    }
    to.push(Is(channels));
    along.push(Along { axis: dims.len() as u32 + 1, stride: 1, start: 0 });
    (from, to, along, taps)
}

fn count(shape: &[Dim], batch: i64) -> usize {
    shape.iter().map(|dim| if let Is(dim) = dim { *dim } else { batch }).product::<i64>() as usize
}

#[test]
fn windows_of_every_kind_are_the_cpus() {
    let Some(device) = device() else { return };
    let fill = prop::sample::select(vec![0.0, 1.0, -3.0, f32::NEG_INFINITY]);
    let strategy = (dimensions(), 1_i64..6, 1_i64..4, 0_usize..4, fill);
    runner()
        .run(&strategy, |(dims, channels, batch, kind, fill)| {
            let kind = KINDS[kind];
            let (from, to, along, taps) = window(&dims, channels, true);
            let mut case = Case::new();
            let (input, output) = (case.input(kind, &from), case.slot(kind, &to));
            let (op, weights) = (Windowed::Copy, None);
            case.step(Step::Window { op, input, weights, output, along, taps, fill });
            case.answer(output);
            let request = case.request(batch, vec![data(kind, 7, count(&from, batch))]);
            assert_near(&case.both(device, &request), 0.0, &format!("{:?}", case.plan.steps));
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_windows_show_is_taken_as_by_the_cpu() {
    let Some(device) = device() else { return };
    let strategy = (dimensions(), 1_i64..6, 1_i64..4, 0_usize..3);
    runner()
        .run(&strategy, |(dims, channels, batch, which)| {
            let (from, to, along, taps) = window(&dims, channels, false);
            let mut case = Case::new();
            let (input, output) = (case.input(Kind::F32, &from), case.slot(Kind::F32, &to));
            let op = if which == 0 { Windowed::Max } else { Windowed::Sum };
            let weights = (which == 2).then(|| {
                let shape = taps.iter().map(|it| i64::from(it.count)).chain([channels]);
                let shape: Vec<i64> = shape.collect();
                let numbers = plain(3, shape.iter().product::<i64>() as usize);
                case.constant(Kind::F32, &shape, &TensorData::Fp32(numbers))
            });
            case.step(Step::Window { op, input, weights, output, along, taps, fill: 0.0 });
            case.answer(output);
            let mut numbers = odd(7, count(&from, batch));
            if which == 2 {
                // A product that is too large for a float may be added to before it is rounded.
                let is_huge = |it: &f32| it.is_finite() && it.abs() > 1e6;
                numbers.iter_mut().filter(|it| is_huge(it)).for_each(|it| *it = 1.0);
            }
            let request = case.request(batch, vec![TensorData::Fp32(numbers)]);
            assert_near(&case.both(device, &request), 2e-5, &format!("{:?}", case.plan.steps));
            Ok(())
        })
        .unwrap();
}
