//! Products of two computed tensors.

use std::fmt::Write;

use inference::plan::ArchivedStep;

use crate::{
    Dispatch, Limits, Run, Shader, Unsupported,
    block::{Block, needs},
    chain::{Built, Chain, Source, bindings, load, source},
    dispatch::Kernel,
    operand::{At, Fixed, Kind, Operand},
    params::Params,
    product::{WRITE, finish_text},
    window::Window,
};

/// A product of two tensors as a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct MatMul {
    left: Source,
    right: Source,
    transposed: bool,
    /// Rows and columns of a workgroup's block, and of an invocation.
    size: u32,
    each: u32,
    finish: Option<Chain>,
}

/// The words of parameters before those of what is computed last. Those of products come first:
/// [`WRITE`] reads them.
const HEADER: usize = 10;

impl MatMul {
    pub(crate) fn name(&self) -> String {
        let more = self.finish.as_ref().map_or(0, |it| it.ops.len());
        format!("matmul {size}x{size} +{more}", size = self.size)
    }

    pub(crate) fn wgsl(&self) -> String {
        let block = Block {
            size: [self.size; 2],
            each: [self.each; 2],
            width: self.size,
            by_depth: self.transposed,
        };
        let left = load(Kind::F32, self.left, "params[0]", "(row * params[2] + at)");
        let at =
            if self.transposed { "column * params[2] + at" } else { "at * params[3] + column" };
        let right = load(Kind::F32, self.right, "first", &format!("({at})"));
        let start = "    let batch = params[8] + group.z;
    let end_row = (batch + 1u) * params[5];
    let first_row = batch * params[5] + group.y * SIZE;
    let first_panel = params[7] + batch * params[2] * params[3];
";
        let end = block.rows(|row, fours| {
            fours.iter().fold(String::new(), |mut text, (four, sum)| {
                let _ = writeln!(
                    text,
                    "    write(first_row + {row}, end_row, first_column + {four}, {sum});"
                );
                text
            })
        });
        format!(
            "{bindings}{finish}{WRITE}
const SIZE = {size}u;
fn left_number(row: u32, at: u32, rows: u32) -> f32 {{
    if (row >= rows || at >= params[2]) {{
        return 0.0;
    }}
    return {left};
}}
fn left_four(row: u32, at: u32, rows: u32) -> vec4<f32> {{
    return vec4<f32>(
        left_number(row, at, rows), left_number(row + 1u, at, rows),
        left_number(row + 2u, at, rows), left_number(row + 3u, at, rows));
}}
fn right_number(first: u32, at: u32, column: u32) -> f32 {{
    if (at >= params[2] || column >= params[3]) {{
        return 0.0;
    }}
    return {right};
}}
fn right_four(first: u32, at: u32, column: u32) -> vec4<f32> {{
    return vec4<f32>(
        right_number(first, at, column), right_number(first, at, column + 1u),
        right_number(first, at, column + 2u), right_number(first, at, column + 3u));
}}
{main}",
            bindings = bindings(1),
            finish = finish_text(false, self.finish.as_ref(), HEADER),
            size = self.size,
            main = block.main(start, &end),
        )
    }
}

/// The product of `step`, and what `rest` computes of it element by element.
pub(crate) fn dispatches(
    run: &Run<'_>,
    step: &ArchivedStep,
    rest: &[&ArchivedStep],
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    let unfit = || Unsupported::new("operands of a product that do not fit");
    let ArchivedStep::MatMul { left, right, output, dimensions, transposed } = step else {
        return Err(unfit());
    };
    let (from, with) = (run.operand(left.to_native())?, run.operand(right.to_native())?);
    let to = run.operand(output.to_native())?;
    let mut sizes = [0; 4];
    for (size, at) in sizes.iter_mut().zip(dimensions.iter()) {
        *size = run.dimension(at.to_native())?;
    }
    let [batch, rows, inner, columns] = sizes;
    let fits = |operand: &Operand, a: usize, b: usize| {
        let count = batch.checked_mul(a).and_then(|it| it.checked_mul(b));
        operand.kind == Kind::F32 && count == Some(operand.count)
    };
    if !fits(&from, rows, inner) || !fits(&with, inner, columns) || !fits(&to, rows, columns) {
        return Err(unfit());
    }
    let finish = match rest {
        [] => None,
        rest => Some(Built::new(run, rest, Some(output.to_native()))?),
    };
    let written = finish.as_ref().map_or(&to, |it| &it.output);
    let At::Arena(written_at) = written.at else { return Err(unfit()) };
    if written.kind != Kind::F32 || written.count != to.count {
        return Err(Unsupported::new("what follows a product is no F32 of its size"));
    }
    if to.count == 0 {
        return Ok(vec![]);
    }
    let ranges = [&from, &with].into_iter().filter_map(|operand| match operand.at {
        At::Fixed(Fixed::Same(start)) => Some(start..start + operand.fixed_words()),
        _ => None,
    });
    let ranges = ranges.chain(finish.iter().flat_map(Built::ranges));
    let window = Window::over_all(run, limits, ranges)?;
    let start = |operand: &Operand| match &operand.at {
        At::Arena(word) => Ok(*word),
        At::Fixed(Fixed::Same(word)) => window.word(*word),
        At::Fixed(Fixed::ByPart(_)) => {
            Err(Unsupported::new("a product of values with weights of several models"))
        }
    };
    let (size, each) = block(limits, [batch, rows, columns])?;
    let kernel = MatMul {
        left: source(&from.at),
        right: source(&with.at),
        transposed: *transposed,
        size,
        each,
        finish: finish.as_ref().map(|it| it.chain.clone()),
    };
    let shader = Shader::new(Kernel::MatMul(kernel));
    let most = limits.workgroups_per_dimension as usize;
    let [down, across] = [rows, columns].map(|it| it.div_ceil(size as usize));
    if down > most || across > most {
        return Err(Unsupported::new("a product of more rows or columns than a device counts"));
    }
    let mut dispatches = vec![];
    for first in (0..batch).step_by(most.max(1)) {
        let mut params = Params::default();
        params.push(start(&from)?)?;
        params.push(written_at)?;
        for number in [inner, columns, columns, rows, 0] {
            params.push(number)?;
        }
        params.push(start(&with)?)?;
        params.push(first)?;
        params.push(0_u32)?;
        if let Some(finish) = &finish {
            finish.push(run, &window, &mut params)?;
        }
        dispatches.push(Dispatch {
            shader: shader.clone(),
            params: params.finish()?,
            workgroups: [across as u32, down as u32, (batch - first).min(most) as u32],
            fixed: window.range(),
        });
    }
    Ok(dispatches)
}

/// The largest block of which there are enough to keep a device busy, and an invocation's part of it.
fn block(limits: &Limits, [batch, rows, columns]: [usize; 3]) -> Result<(u32, u32), Unsupported> {
    for (size, each) in [(128_u32, 8_u32), (64, 4)] {
        let [threads, bytes] = needs([size; 2], [each; 2]);
        let blocks = rows.div_ceil(size as usize) * columns.div_ceil(size as usize);
        let is_filled = rows * 2 > size as usize && columns * 2 > size as usize;
        if is_filled && blocks.saturating_mul(batch) >= 64 && limits.check(threads, bytes).is_ok() {
            return Ok((size, each));
        }
    }
    let [threads, bytes] = needs([32; 2], [4; 2]);
    limits.check(threads, bytes)?;
    Ok((32, 4))
}
