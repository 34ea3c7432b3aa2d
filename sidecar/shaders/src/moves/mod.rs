//! Elements that are moved without being changed.

mod copy;
mod gather;
mod join;
mod windows;

use inference::plan::ArchivedStep;

pub(crate) use copy::{Copy, row_major};
pub(crate) use gather::Gather;
pub(crate) use join::Join;
pub(crate) use windows::Windows;

use crate::{
    Dispatch, Limits, Run, Unsupported,
    chain::bindings,
    dispatch::GROUP,
    operand::{At, Kind, Operand},
};

/// A shader whose invocations take the elements that are written, `e` of `params[0]`, as many apart as there
/// are invocations: `functions` come before it, `lets` before the first element, and `each` for every one.
fn for_each(functions: &str, lets: &str, each: &str) -> String {
    format!(
        "{bindings}{functions}
@compute @workgroup_size({GROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let count = params[0];
    let stride = params[1];
{lets}
    for (var e = id.x; e < count; e += stride) {{
{each}
    }}
}}
",
        bindings = bindings(1),
    )
}

/// How elements are moved: those of 32 bits are all words, and those of Bool in the arena are, too.
fn moved(operand: &Operand) -> Kind {
    match (operand.kind, &operand.at) {
        (Kind::I64, _) => Kind::I64,
        (Kind::Bool, At::Fixed(_)) => Kind::Bool,
        _ => Kind::I32,
    }
}

/// A step that moves elements.
pub(crate) fn dispatches(
    run: &Run<'_>,
    step: &ArchivedStep,
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    match step {
        ArchivedStep::Move { input, output, axes, starts } => {
            let axes: Vec<u32> = axes.iter().map(|it| it.to_native()).collect();
            let starts = starts.iter().map(|it| run.dimension(it.to_native()));
            let starts = starts.collect::<Result<Vec<_>, _>>()?;
            copy::strided(run, [input.to_native(), output.to_native()], &axes, &starts, limits)
        }
        ArchivedStep::Concat { axis, inputs, output } => {
            let inputs: Vec<u32> = inputs.iter().map(|it| it.to_native()).collect();
            copy::concat(run, axis.to_native() as usize, &inputs, output.to_native(), limits)
        }
        ArchivedStep::Gather { axis, table, indices, output } => {
            let [table, indices, output] = [table, indices, output].map(|it| it.to_native());
            gather::dispatches(run, axis.to_native() as usize, [table, indices], output, limits)
        }
        ArchivedStep::Window { .. } => windows::dispatches(run, step, limits),
        _ => Err(Unsupported::new("a step that moves nothing")),
    }
}
