//! Functions of elements, any number of them one after another, as one kernel.

mod build;
mod expressions;
mod functions;
mod text;

use inference::plan::{ArchivedPlace, ArchivedPlan, ArchivedStep};

pub(crate) use build::{Built, push_start, source};
pub(crate) use functions::texts;
pub(crate) use text::{bindings, load, store, type_name};

use crate::{
    Dispatch, Limits, Run, Shader, Unsupported,
    dispatch::{GROUP, Kernel, groups_in_line},
    operand::Kind,
    params::Params,
};

/// The most that one kernel does, and reads.
pub(crate) const MOST_STEPS: usize = 24;
pub(crate) const MOST_INPUTS: usize = 12;

/// Steps that compute an element of what they write from single elements of what they read. Those that
/// move elements are no steps of it but say where it reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Chain {
    /// The operands that are read, each once. Values are numbered: these first, then what was
    /// computed before, then one for each of `ops`.
    pub(crate) inputs: Vec<Input>,
    /// Whether there is an F32 that was computed before: the value behind the inputs.
    pub(crate) has_computed: bool,
    pub(crate) ops: Vec<Op>,
    /// How many numbers the functions take beside their arguments.
    pub(crate) scalars: usize,
    /// What the last one gives.
    pub(crate) output: Kind,
}

/// An operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Input {
    pub(crate) kind: Kind,
    pub(crate) source: Source,
    pub(crate) access: Access,
}

/// Where an operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Arena,
    Fixed,
    /// In the slab, elsewhere for each row of the batch.
    FixedByRow,
}

/// Which element of an operand belongs to an element of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// The same.
    Same,
    /// Always the first.
    First,
    /// One by its place along so many dimensions.
    Strided(usize),
}

/// A function of values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Op {
    /// What it is in WGSL: `$0`, `$1` and `$2` are the arguments, `$s` its scalar.
    pub(crate) expression: &'static str,
    pub(crate) arguments: Vec<usize>,
    pub(crate) scalar: Option<usize>,
    pub(crate) result: Kind,
}

pub(crate) const fn is_elementwise(step: &ArchivedStep) -> bool {
    matches!(
        step,
        ArchivedStep::Unary { .. }
            | ArchivedStep::Binary { .. }
            | ArchivedStep::Select { .. }
            | ArchivedStep::Cast { .. }
    )
}

/// Whether a step moves elements of what is no constant, which a chain then reads where they are.
pub(crate) fn is_piece(plan: &ArchivedPlan, step: &ArchivedStep) -> bool {
    let ArchivedStep::Move { input, .. } = step else { return false };
    let place = plan.value(input.to_native()).map(|it| &it.place);
    matches!(place, Some(ArchivedPlace::Slot(_) | ArchivedPlace::Input(_)))
}

/// Whether a step of elements has a kernel, its operands being of kinds that devices have.
pub(crate) fn supports(plan: &ArchivedPlan, step: &ArchivedStep) -> Result<(), Unsupported> {
    expressions::of_step(plan, step).map(|_| ())
}

/// The steps as one kernel.
pub(crate) fn dispatches(
    run: &Run<'_>,
    steps: &[&ArchivedStep],
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    let built = Built::new(run, steps, None)?;
    if built.output.count == 0 {
        return Ok(vec![]);
    }
    let window = built.window(run, limits)?;
    let [groups, stride] = groups_in_line(built.output.count, limits)?;
    let mut params = Params::default();
    params.push(built.output.count)?;
    params.push(stride)?;
    params.push(built.written_at()?)?;
    built.push(run, &window, &mut params)?;
    Ok(vec![Dispatch {
        shader: Shader::new(Kernel::Elementwise(built.chain)),
        params: params.finish()?,
        workgroups: [groups, 1, 1],
        fixed: window.range(),
    }])
}

/// The words of parameters before the chain's own.
const HEADER: usize = 3;

impl Chain {
    pub(crate) fn name(&self) -> String {
        format!("elementwise {}", self.ops.len())
    }

    pub(crate) fn wgsl(&self) -> String {
        let prelude = self.prelude(HEADER, None);
        let store = text::store(self.output, "params[2]", "e", "chain(e)");
        format!(
            "{bindings}{prelude}
@compute @workgroup_size({GROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let count = params[0];
    let stride = params[1];
    for (var e = id.x; e < count; e += stride) {{
        {store}
    }}
}}
",
            bindings = text::bindings(1),
        )
    }
}
