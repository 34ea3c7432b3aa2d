//! Reductions, softmax and norms.

use inference::{
    TensorData,
    plan::{Kind, Reduction, Step},
};

use crate::{
    case::{Batch, Case, Is},
    compare::{assert_near, odd, plain, whole},
    llvmpipe::device,
};

/// Batch, numbers along the line, and numbers behind it.
const SHAPES: [[i64; 3]; 7] =
    [[1, 1, 1], [5, 7, 1], [3, 5, 4], [3, 64, 1], [2, 333, 1], [2, 1030, 1], [4, 100, 3]];

fn check(read: Kind, wrote: Kind, reduces: bool, is_odd: bool, step: impl Fn(u32, u32) -> Step) {
    let Some(device) = device() else { return };
    for [batch, along, inner] in SHAPES {
        let mut case = Case::new();
        let input = case.input(read, &[Batch, Is(along), Is(inner)]);
        let output = case.slot(wrote, &[Batch, Is(if reduces { 1 } else { along }), Is(inner)]);
        case.step(step(input, output));
        case.answer(output);
        let count = (batch * along * inner) as usize;
        let data = match (read, is_odd) {
            (Kind::I64, _) => TensorData::Int64(whole(5, count)),
            (_, true) => TensorData::Fp32(odd(along as usize, count)),
            (_, false) => TensorData::Fp32(plain(along as usize, count)),
        };
        let answers = case.both(device, &case.request(batch, vec![data]));
        let what = format!("{:?} of {batch} {along} {inner}, odd {is_odd}", case.plan.steps);
        assert_near(&answers, 2e-5, &what);
    }
}

#[test]
fn reductions_of_floats_are_the_cpus() {
    let ops =
        [Reduction::Max, Reduction::Min, Reduction::Sum, Reduction::Prod, Reduction::MeanOfSquares];
    for op in ops {
        check(Kind::F32, Kind::F32, true, false, |input, output| Step::Reduce {
            op,
            input,
            output,
            axis: 1,
            axes: 1,
        });
    }
    for op in [Reduction::Max, Reduction::Min] {
        check(Kind::F32, Kind::F32, true, true, |input, output| Step::Reduce {
            op,
            input,
            output,
            axis: 1,
            axes: 1,
        });
    }
}

#[test]
fn reductions_to_and_of_integers_are_the_cpus() {
    for op in [Reduction::ArgMax, Reduction::ArgMin] {
        for is_odd in [false, true] {
            check(Kind::F32, Kind::I64, true, is_odd, |input, output| Step::Reduce {
                op,
                input,
                output,
                axis: 1,
                axes: 1,
            });
        }
    }
    for op in [Reduction::Max, Reduction::Min, Reduction::Sum, Reduction::Prod] {
        check(Kind::I64, Kind::I64, true, false, |input, output| Step::Reduce {
            op,
            input,
            output,
            axis: 1,
            axes: 1,
        });
    }
}

#[test]
fn softmax_and_norms_are_the_cpus() {
    for is_odd in [false, true] {
        for log in [false, true] {
            check(Kind::F32, Kind::F32, false, is_odd, |input, output| Step::Softmax {
                input,
                output,
                axis: 1,
                axes: 1,
                log,
            });
        }
        check(Kind::F32, Kind::F32, false, is_odd, |input, output| Step::RmsNorm {
            input,
            output,
            axis: 1,
            epsilon: 1e-5,
        });
    }
}
