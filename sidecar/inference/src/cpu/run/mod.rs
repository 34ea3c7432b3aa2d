//! Running a plan.
//!
//! A run binds the plan's symbols to the dimensions of its inputs, lays the slots out in one piece
//! of memory, and does the steps in order. Every access is checked, so that a plan that lies about
//! its shapes fails and reads nothing that is not its own.

mod apart;
mod elementwise;
mod memory;
mod moves;
mod parts;
mod products;
mod reductions;
mod steps;
mod text;

pub(super) use memory::{Fault, Workspace};
pub(super) use parts::{Own, Parts};
pub use steps::Steps;

/// What a run takes that is not its own.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) matrices: &'a Matrices,
    pub(super) helpers: &'a kernels::Helpers,
    /// Whose rows it has.
    pub(super) parts: Parts<'a>,
}

use memory::Operands;

use super::matrices::Matrices;
use crate::{
    InferError, Inputs, Limits,
    plan::{ArchivedStep, PackedPlan, Shape},
};

/// Answers a request; `inputs` were checked against the signature, and are of as many rows as the
/// parts in `shared`. The answer stays in `workspace`: see [`Workspace::output`].
pub(super) fn run(
    plan: &PackedPlan,
    shared: Shared<'_>,
    inputs: &Inputs,
    limits: Limits,
    workspace: &mut Workspace,
) -> Result<(), InferError> {
    workspace.prepare(plan, inputs, limits).map_err(failed)?;
    workspace.apart.begin(plan, &shared.parts);
    for (at, step) in plan.plan().steps.iter().enumerate() {
        let done = match workspace.apart.differs(at) {
            false => workspace.step(plan, shared, inputs, step),
            true => workspace.step_apart(plan, shared, inputs, step),
        };
        done.map_err(|fault| failed(Fault::Step { at, cause: fault.to_string() }))?;
    }
    Ok(())
}

/// What whoever asked is told of a fault.
pub(super) fn failed(fault: Fault) -> InferError {
    InferError::Failed { detail: fault.to_string() }
}

fn dispatch(
    step: &ArchivedStep,
    from: &Operands<'_>,
    output: &mut [u8],
    scratch: &mut kernels::Scratch,
    shared: Shared<'_>,
) -> Result<(), Fault> {
    match step {
        ArchivedStep::Product { input, matrix, relu, .. } => {
            products::product(from, input, matrix, *relu, output, scratch, shared)
        }
        ArchivedStep::MatMul { left, right, dimensions, transposed, .. } => {
            products::matmul(from, (left, right), dimensions, *transposed, output, scratch)
        }
        ArchivedStep::Unary { op, input, output: to } => {
            elementwise::unary(from, op, input, to, output)
        }
        ArchivedStep::Binary { op, left, right, output: to } => {
            elementwise::binary(from, op, (left, right), to, output)
        }
        ArchivedStep::Select { condition, yes, no, output: to } => {
            elementwise::select(from, condition, (yes, no), to, output)
        }
        ArchivedStep::Cast { input, output: to } => elementwise::cast(from, input, to, output),
        ArchivedStep::Move { input, output: to, axes, starts } => {
            moves::strided(from, input, to, axes, starts, output)
        }
        ArchivedStep::Concat { axis, inputs, output: to } => {
            moves::concat(from, axis, inputs, to, output)
        }
        ArchivedStep::Gather { axis, table, indices, output: to } => {
            moves::gather(from, axis, (table, indices), to, output)
        }
        ArchivedStep::Category { input, texts, codes, otherwise, .. } => {
            text::category(from, input, (texts, codes), otherwise.to_native(), output)
        }
        ArchivedStep::Softmax { input, axis, axes, log, .. } => {
            reductions::softmax(from, input, (axis, axes), *log, output)
        }
        ArchivedStep::Reduce { op, input, axis, axes, .. } => {
            reductions::reduce(from, op, input, (axis, axes), output)
        }
        ArchivedStep::RmsNorm { input, axis, epsilon, .. } => {
            reductions::rms_norm(from, input, axis, epsilon.to_native(), output)
        }
    }
}

/// The numbers of `shape` before a range of dimensions, along it, and after it.
fn around(shape: &[usize], axis: usize, axes: usize) -> Option<(usize, usize, usize)> {
    let end = axis.checked_add(axes)?;
    let product = |part: &[usize]| part.iter().product::<usize>();
    Some((product(shape.get(..axis)?), product(shape.get(axis..end)?), product(shape.get(end..)?)))
}
