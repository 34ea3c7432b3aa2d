//! Reductions, softmax and norms as shaders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod support;

use inference::plan::{Kind, Reduction, Step};
use shaders::Limits;
use support::{Batch, Case, Is, alone, roomy, together, validate_all};

const REDUCTIONS: [Reduction; 7] = [
    Reduction::ArgMax,
    Reduction::ArgMin,
    Reduction::Max,
    Reduction::MeanOfSquares,
    Reduction::Min,
    Reduction::Prod,
    Reduction::Sum,
];

fn check(read: Kind, wrote: Kind, reduces: bool, step: impl Fn(u32, u32) -> Step) -> bool {
    let mut made = false;
    for along in [0, 3, 100, 1000] {
        for inner in [1, 5] {
            let mut case = Case::new();
            let input = case.input(read, &[Batch, Is(along), Is(inner)]);
            let output = case.slot(wrote, &[Batch, Is(if reduces { 1 } else { along }), Is(inner)]);
            case.step(step(input, output));
            let case = case.answer(output);
            let plan = case.archived();
            for subgroups in [false, true] {
                let limits = Limits { subgroups, ..roomy() };
                let groups = [shaders::Group::single(0)];
                for shape in [alone(0), alone(3), alone(3000), together(&[1, 2])] {
                    let found = case.run(&shape, &groups, &limits);
                    assert_eq!(found.is_ok(), shaders::supports(plan, &plan.steps[0]).is_ok());
                    made |= found.is_ok();
                    validate_all(&found.unwrap_or_default());
                }
            }
        }
    }
    made
}

#[test]
fn reductions_are_shaders_or_say_why_not() {
    let mut made = 0;
    for op in REDUCTIONS {
        for read in [Kind::F32, Kind::I64, Kind::Bool] {
            for wrote in [Kind::F32, Kind::I64] {
                made += usize::from(check(read, wrote, true, |input, output| Step::Reduce {
                    op,
                    input,
                    output,
                    axis: 1,
                    axes: 1,
                }));
            }
        }
    }
    assert_eq!(made, 11);
}

#[test]
fn softmax_and_norms_are_shaders() {
    for log in [false, true] {
        assert!(check(Kind::F32, Kind::F32, false, |input, output| Step::Softmax {
            input,
            output,
            axis: 1,
            axes: 1,
            log,
        }));
    }
    assert!(check(Kind::F32, Kind::F32, false, |input, output| Step::RmsNorm {
        input,
        output,
        axis: 1,
        epsilon: 1e-5,
    }));
}
