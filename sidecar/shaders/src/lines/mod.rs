//! What is computed of all numbers along a range of dimensions: reductions, softmax and norms.
//!
//! A line is the numbers along the range at one place of the other dimensions. It is an invocation's
//! own where there are many short ones, and a workgroup's where they are long.

mod reduction;
mod text;

use inference::plan::ArchivedStep;

use reduction::Reduction;

use crate::{
    Dispatch, Features, Limits, Run, Shader, Unsupported,
    chain::{Source, source},
    dispatch::{GROUP, Kernel, groups_in_line},
    operand::{At, Fixed, Kind, Operand},
    params::Params,
    window::Window,
};

/// Something of lines as a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lines {
    what: What,
    source: Source,
    width: Width,
}

/// What is computed of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Reduce(Reduction),
    Softmax { log: bool },
    RmsNorm,
}

/// Who computes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Width {
    Invocation,
    Workgroup { threads: u32, subgroups: bool },
}

impl Lines {
    pub(crate) fn features(&self) -> Features {
        let subgroups = matches!(self.width, Width::Workgroup { subgroups: true, .. });
        Features { subgroups, ..Features::default() }
    }

    pub(crate) fn name(&self) -> String {
        match self.what {
            What::Reduce(reduction) => format!("reduce {reduction:?}"),
            What::Softmax { log: false } => "softmax".to_owned(),
            What::Softmax { log: true } => "log softmax".to_owned(),
            What::RmsNorm => "rms norm".to_owned(),
        }
    }
}

/// Whether a step of lines has a kernel.
pub(crate) fn supports(
    plan: &inference::plan::ArchivedPlan,
    step: &ArchivedStep,
) -> Result<(), Unsupported> {
    let (mut inputs, output) = step.operands();
    let none = || Unsupported::new("it refers to a value that there is not");
    let kind =
        |value: Option<u32>| Kind::of(value.and_then(|it| plan.value(it)).ok_or_else(none)?.kind);
    let (from, to) = (kind(inputs.next())?, kind(Some(output))?);
    what(step, from, to).map(|_| ())
}

fn what(step: &ArchivedStep, from: Kind, to: Kind) -> Result<What, Unsupported> {
    let what = match step {
        ArchivedStep::Softmax { log, .. } if (from, to) == (Kind::F32, Kind::F32) => {
            Some(What::Softmax { log: *log })
        }
        ArchivedStep::RmsNorm { .. } if (from, to) == (Kind::F32, Kind::F32) => Some(What::RmsNorm),
        ArchivedStep::Reduce { op, .. } => Reduction::of(op, from, to).map(What::Reduce),
        _ => None,
    };
    let name = crate::support::name(step);
    what.ok_or_else(|| Unsupported::new(format!("{name} of {from:?} to {to:?} has no kernel")))
}

/// A step of lines.
pub(crate) fn dispatches(
    run: &Run<'_>,
    step: &ArchivedStep,
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    let unfit = || Unsupported::new("dimensions that there are not");
    let (input, output, axis, axes, epsilon) = match step {
        ArchivedStep::Softmax { input, output, axis, axes, .. }
        | ArchivedStep::Reduce { input, output, axis, axes, .. } => {
            (input, output, axis, axes.to_native(), 0.0)
        }
        ArchivedStep::RmsNorm { input, output, axis, epsilon } => {
            (input, output, axis, 1, epsilon.to_native())
        }
        _ => return Err(unfit()),
    };
    let (from, to) = (run.operand(input.to_native())?, run.operand(output.to_native())?);
    let what = what(step, from.kind, to.kind)?;
    let around = from.around(axis.to_native() as usize, axes as usize).ok_or_else(unfit)?;
    let [outer, along, inner] = around;
    let lines = outer.checked_mul(inner).ok_or_else(unfit)?;
    let written = if matches!(what, What::Reduce(_)) { lines } else { from.count };
    if to.count != written {
        return Err(Unsupported::new("an output of another shape"));
    }
    if written == 0 {
        return Ok(vec![]);
    }
    let (window, start) = read_at(run, &from, limits)?;
    let At::Arena(to_at) = to.at else {
        return Err(Unsupported::new("a step that writes a weight"));
    };
    let width = width(along, inner, lines, limits);
    let [groups, stride] = match width {
        Width::Invocation => groups_in_line(lines, limits)?,
        Width::Workgroup { threads, .. } => {
            limits.check(threads, threads * 8)?;
            let groups = lines.min(limits.workgroups_per_dimension as usize) as u32;
            [groups; 2]
        }
    };
    let mut params = Params::default();
    params.push(lines)?;
    params.push(stride)?;
    params.push(start)?;
    params.push(to_at)?;
    params.push(along)?;
    params.push(inner)?;
    params.push_float(epsilon);
    Ok(vec![Dispatch {
        shader: Shader::new(Kernel::Lines(Lines { what, source: source(&from.at), width })),
        params: params.finish()?,
        workgroups: [groups, 1, 1],
        fixed: window.range(),
    }])
}

/// What is bound of the slab, and the word from which an operand is read.
fn read_at(run: &Run<'_>, from: &Operand, limits: &Limits) -> Result<(Window, u32), Unsupported> {
    match &from.at {
        At::Arena(word) => Ok((Window::NONE, *word)),
        At::Fixed(Fixed::Same(word)) => {
            let range = *word..*word + from.fixed_words();
            let window = Window::over_all(run, limits, std::iter::once(range))?;
            Ok((window, window.word(*word)?))
        }
        At::Fixed(Fixed::ByPart(_)) => {
            Err(Unsupported::new("what is computed of weights alone, of several models"))
        }
    }
}

/// Long lines are a workgroup's, and so are few ones.
fn width(along: usize, inner: usize, lines: usize, limits: &Limits) -> Width {
    let threads = if along <= 256 { 64 } else { GROUP };
    let is_long = along >= 64 && (inner == 1 || lines < 1024);
    if is_long && limits.check(threads, threads * 8).is_ok() {
        Width::Workgroup { threads, subgroups: limits.subgroups }
    } else {
        Width::Invocation
    }
}
