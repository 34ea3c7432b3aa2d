//! What the steps of a plan are on a device, as values.
//!
//! A step, or a [`Group`] of them that runs as one, becomes [`Dispatch`]es: a [`Shader`], the words
//! of its parameters and how many workgroups there are. Whoever has a device runs them one after
//! another, each over what the one before wrote; what memory looks like there is said by [`Run`].
//! Shaders depend on what is done and not on how large it is, so that a model needs few pipelines.
//!
//! This crate knows no device, no driver and no file. It does not know where a step is best run:
//! [`supports`] says what could be, and why not. What it makes reads and writes inside the operands
//! of the step alone, whatever a plan or a request says; what does not fit together is refused by
//! [`Unsupported`]. Start with [`Run`], then [`dispatches`].

mod block;
mod chain;
mod dispatch;
mod group;
mod lines;
mod matmul;
mod moves;
mod operand;
mod params;
mod product;
mod run;
mod support;
mod window;

pub use dispatch::{CooperativeMatrix, Dispatch, FAULT_WORDS, Features, Limits, Shader};
pub use group::{Group, fuse};
pub use run::{Delta, Part, Replaced, Run, Weight, Weights};
pub use support::{Unsupported, name, supports};

use inference::plan::ArchivedStep;

/// What `group` is on a device, in the order in which it is to be run. Nothing, where there are no
/// elements to write.
///
/// # Errors
/// [`Unsupported`] where a device cannot do it, or what the plan says does not fit together.
pub fn dispatches(
    run: &Run<'_>,
    group: &Group,
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    let steps = group.steps(run.plan)?;
    let Some((first, rest)) = steps.split_first() else { return Ok(vec![]) };
    match first {
        ArchivedStep::Product { .. } => product::dispatches(run, first, rest, limits),
        ArchivedStep::MatMul { .. } => matmul::dispatches(run, first, rest, limits),
        step if chain::is_elementwise(step) => chain::dispatches(run, &steps, limits),
        ArchivedStep::Move { .. } if !rest.is_empty() => chain::dispatches(run, &steps, limits),
        ArchivedStep::Move { .. }
        | ArchivedStep::Concat { .. }
        | ArchivedStep::Gather { .. }
        | ArchivedStep::Window { .. } => moves::dispatches(run, first, limits),
        ArchivedStep::Softmax { .. }
        | ArchivedStep::Reduce { .. }
        | ArchivedStep::RmsNorm { .. } => lines::dispatches(run, first, limits),
        step => Err(Unsupported::new(format!("{} has no kernel", support::name(step)))),
    }
}
