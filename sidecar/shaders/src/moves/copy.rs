//! Elements from one place to another, each along some strides.

use inference::plan::MAX_RANK;

use super::{for_each, join, moved};
use crate::{
    Dispatch, Limits, Run, Shader, Unsupported,
    chain::{Source, load, push_start, source, store},
    dispatch::{Kernel, groups_in_line},
    operand::{At, Fixed, Kind, Operand},
    params::Params,
    window::Window,
};

/// A copy as a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Copy {
    kind: Kind,
    source: Source,
}

/// The words of parameters before dimensions, strides read and strides written.
const HEADER: usize = 8;

impl Copy {
    pub(crate) fn name(&self) -> String {
        format!("copy {:?}", self.kind)
    }

    pub(crate) fn wgsl(&self) -> String {
        let start = match self.source {
            Source::FixedByRow => "params[params[3] + to / params[6]]",
            Source::Arena | Source::Fixed => "params[3]",
        };
        let load = load(self.kind, self.source, start, "place");
        let each = format!(
            "        var rest = e;
        var place = params[4];
        var to = params[5];
        for (var axis = rank - 1u; axis > 0u; axis--) {{
            let dim = params[{HEADER}u + axis];
            let along = rest % dim;
            rest /= dim;
            place += along * params[{reads}u + axis];
            to += along * params[{writes}u + axis];
        }}
        place += rest * params[{reads}];
        to += rest * params[{writes}];
        {store}",
            reads = HEADER + MAX_RANK,
            writes = HEADER + 2 * MAX_RANK,
            store = store(self.kind, "params[2]", "to", &load),
        );
        for_each("", "    let rank = params[7];", &each)
    }
}

/// A dimension that is copied along, and how far apart elements are where they are read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Axis {
    dim: usize,
    reads: usize,
    writes: usize,
}

/// What is copied.
struct Block {
    axes: Vec<Axis>,
    /// The first element that is read, and written.
    first: [usize; 2],
}

impl Block {
    /// The same with as few dimensions as there can be, and one at least.
    fn merged(self) -> Self {
        let mut axes: Vec<Axis> = vec![];
        for axis in self.axes.into_iter().filter(|it| it.dim != 1) {
            match axes.last_mut() {
                Some(outer)
                    if Some(outer.reads) == axis.reads.checked_mul(axis.dim)
                        && Some(outer.writes) == axis.writes.checked_mul(axis.dim) =>
                {
                    *outer = Axis { dim: outer.dim.saturating_mul(axis.dim), ..axis };
                }
                _ => axes.push(axis),
            }
        }
        if axes.is_empty() {
            axes.push(Axis { dim: 1, reads: 0, writes: 0 });
        }
        Self { axes, first: self.first }
    }

    fn count(&self) -> Option<usize> {
        self.axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.dim))
    }

    /// The last elements that are read and written. There is one at least.
    fn last(&self) -> Option<[usize; 2]> {
        self.axes.iter().try_fold(self.first, |[read, wrote], axis| {
            let steps = axis.dim.checked_sub(1)?;
            let read = read.checked_add(steps.checked_mul(axis.reads)?)?;
            Some([read, wrote.checked_add(steps.checked_mul(axis.writes)?)?])
        })
    }
}

/// A move along `axes` of the input, from `starts` on.
pub(super) fn strided(
    run: &Run<'_>,
    [input, output]: [u32; 2],
    axes: &[u32],
    starts: &[usize],
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    let unfit = || Unsupported::new("a move along dimensions that there are not");
    let (from, to) = (run.operand(input)?, run.operand(output)?);
    if axes.len() != to.dims.len() || (!starts.is_empty() && starts.len() != from.dims.len()) {
        return Err(unfit());
    }
    let strides = row_major(&from.dims);
    let along = |axis: &u32| strides.get(*axis as usize).copied().unwrap_or(0);
    let block = Block {
        axes: to
            .dims
            .iter()
            .zip(row_major(&to.dims))
            .zip(axes)
            .map(|((dim, writes), axis)| Axis { dim: *dim, reads: along(axis), writes })
            .collect(),
        first: [
            starts.iter().zip(&strides).fold(0_usize, |sum, (start, stride)| {
                sum.saturating_add(start.saturating_mul(*stride))
            }),
            0,
        ],
    };
    copy(run, &from, (output, &to), block, limits).map(|it| it.into_iter().collect())
}

/// Inputs one behind the other along a dimension.
pub(super) fn concat(
    run: &Run<'_>,
    axis: usize,
    inputs: &[u32],
    output: u32,
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    let unfit = || Unsupported::new("parts that do not join");
    let to = run.operand(output)?;
    let [outer, along, inner] = to.around(axis, 1).ok_or_else(unfit)?;
    let row = along.checked_mul(inner).ok_or_else(unfit)?;
    let mut first = 0;
    let mut dispatches = vec![];
    let mut lengths = inputs.iter().map(|it| {
        let [rows, along, width] = run.operand(*it)?.around(axis, 1).ok_or_else(unfit)?;
        Ok(if (rows, width) == (outer, inner) { along.checked_mul(width) } else { None })
    });
    if let Some(Some(length)) = lengths.next().transpose()?
        && lengths.all(|it| it == Ok(Some(length)))
        && let Some(dispatch) = join::dispatch(run, inputs, &to, [row, length], limits)?
    {
        return Ok(vec![dispatch]);
    }
    for input in inputs {
        let from = run.operand(*input)?;
        let [rows, along, width] = from.around(axis, 1).ok_or_else(unfit)?;
        let length = along.checked_mul(width).ok_or_else(unfit)?;
        if rows != outer || width != inner || first + length > row {
            return Err(unfit());
        }
        let axes = vec![
            Axis { dim: rows, reads: length, writes: row },
            Axis { dim: length, reads: 1, writes: 1 },
        ];
        let block = Block { axes, first: [0, first] };
        dispatches.extend(copy(run, &from, (output, &to), block, limits)?);
        first += length;
    }
    if first == row { Ok(dispatches) } else { Err(unfit()) }
}

/// How far apart elements are along each dimension.
pub(crate) fn row_major(dims: &[usize]) -> Vec<usize> {
    let mut strides: Vec<usize> = dims
        .iter()
        .rev()
        .scan(1_usize, |stride, dim| {
            let this = *stride;
            *stride = stride.saturating_mul(*dim);
            Some(this)
        })
        .collect();
    strides.reverse();
    strides
}

fn copy(
    run: &Run<'_>,
    from: &Operand,
    (value, to): (u32, &Operand),
    block: Block,
    limits: &Limits,
) -> Result<Option<Dispatch>, Unsupported> {
    let block = block.merged();
    let outside = || Unsupported::new("a move reads beyond its input");
    let count = block.count().ok_or_else(outside)?;
    if from.kind != to.kind {
        return Err(Unsupported::new("a move into another kind"));
    }
    if count == 0 {
        return Ok(None);
    }
    let [read, wrote] = block.last().ok_or_else(outside)?;
    if read >= from.count || wrote >= to.count {
        return Err(outside());
    }
    let At::Arena(start) = to.at else {
        return Err(Unsupported::new("a step that writes a weight"));
    };
    let words = from.fixed_words();
    let ranges = match &from.at {
        At::Arena(_) => vec![],
        At::Fixed(fixed) => fixed.starts().iter().map(|start| *start..start + words).collect(),
    };
    let window = Window::over_all(run, limits, ranges)?;
    let is_by_row = matches!(from.at, At::Fixed(Fixed::ByPart(_)));
    let row_elements = if is_by_row { run.row_elements(value, to)? } else { 1 };
    let [groups, stride] = groups_in_line(count, limits)?;
    let mut params = Params::default();
    params.push(count)?;
    params.push(stride)?;
    params.push(start)?;
    push_start(run, &window, &from.at, &mut params)?;
    let [first_read, first_wrote] = block.first;
    for number in [first_read, first_wrote, row_elements, block.axes.len()] {
        params.push(number)?;
    }
    for of in [|it: &Axis| it.dim, |it: &Axis| it.reads, |it: &Axis| it.writes] {
        for at in 0..MAX_RANK {
            params.push(block.axes.get(at).map_or(0, of))?;
        }
    }
    Ok(Some(Dispatch {
        shader: Shader::new(Kernel::Copy(Copy { kind: moved(from), source: source(&from.at) })),
        params: params.finish()?,
        workgroups: [groups, 1, 1],
        fixed: window.range(),
    }))
}
