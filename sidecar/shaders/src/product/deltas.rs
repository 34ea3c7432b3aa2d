//! Which rows of a product something is added to, and how that comes to dispatches.

use std::ops::Range;

use super::delta::{COLUMNS, Delta as Kernel, HEADER};
use crate::{
    Delta, Dispatch, Limits, Run, Shader, Unsupported,
    chain::Built,
    dispatch::{GROUP, Kernel as AnyKernel},
    params::Params,
    window::Window,
};

/// What is added to a product by the parts of a run.
#[derive(Debug)]
pub(super) struct Deltas<'a> {
    /// For each part that has rows, where those begin in the batch, how many there are, and what is
    /// added to them.
    parts: Vec<(usize, usize, Option<&'a Delta>)>,
    inner: usize,
    columns: usize,
    /// Rows of the product for each of the batch.
    each: usize,
}

/// No bias.
const NONE: u32 = u32::MAX;

impl<'a> Deltas<'a> {
    /// None where nothing is added to this matrix.
    pub(super) fn of(
        run: &Run<'a>,
        matrix: u32,
        [rows, inner, columns]: [usize; 3],
    ) -> Result<Option<Self>, Unsupported> {
        let find = |deltas: &'a [Delta]| deltas.iter().find(|it| it.matrix == matrix);
        let mut first = 0;
        let parts = run.live_parts().map(|part| {
            let own = (first, part.rows as usize, find(part.deltas));
            first += part.rows as usize;
            own
        });
        let parts: Vec<_> = parts.collect();
        if parts.iter().all(|(_, _, delta)| delta.is_none()) {
            return Ok(None);
        }
        let batch = run.batch()?;
        let each = rows.checked_div(batch).unwrap_or(0);
        if each * batch != rows {
            return Err(Unsupported::new("rows of a product that do not come apart"));
        }
        let deltas = Self { parts, inner, columns, each };
        for delta in deltas.parts.iter().filter_map(|(_, _, delta)| *delta) {
            let is_outside = |range: Range<u64>| range.end > run.slab_words;
            if delta.rank > 1 << 16 || deltas.ranges(delta).into_iter().any(is_outside) {
                return Err(Unsupported::new("an addition that does not lie in the slab"));
            }
        }
        Ok(Some(deltas))
    }

    fn ranges(&self, delta: &Delta) -> Vec<Range<u64>> {
        let end = |start: u64, rows: u64, width: usize| {
            start..start.saturating_add(rows.saturating_mul(width as u64))
        };
        let rank = u64::from(delta.rank);
        let mut ranges = vec![];
        if rank > 0 {
            ranges.push(end(delta.down, rank, self.inner));
            ranges.push(end(delta.up, rank, self.columns));
        }
        ranges.extend(delta.bias.map(|start| end(start, 1, self.columns)));
        ranges
    }

    /// Adds to what a product wrote, from word `product` on, and finishes it.
    pub(super) fn dispatches(
        &self,
        run: &Run<'_>,
        limits: &Limits,
        [input, product, output]: [u32; 3],
        relu: bool,
        finish: Option<&Built>,
        into: &mut Vec<Dispatch>,
    ) -> Result<(), Unsupported> {
        limits.check(GROUP, 2048)?;
        let kernel = Kernel { relu, finish: finish.map(|it| it.chain.clone()) };
        let shader = Shader::new(AnyKernel::Delta(kernel));
        let mut open = Vec::from_iter([(0, self.parts.len())]);
        while let Some((start, end)) = open.pop() {
            let some = self.parts.get(start..end).unwrap_or_default();
            let own = some.iter().filter_map(|(_, _, it)| it.map(|it| self.ranges(it))).flatten();
            let all = own.chain(finish.into_iter().flat_map(Built::ranges));
            let Some(window) = Window::over(run, limits, all) else {
                let middle = usize::midpoint(start, end);
                if middle == start {
                    return Err(Unsupported::new("an addition that is not bound at once"));
                }
                open.push((middle, end));
                open.push((start, middle));
                continue;
            };
            let Some((first, ..)) = some.first() else { continue };
            let rows = some.iter().map(|(_, rows, _)| rows).sum::<usize>() * self.each;
            let across = self.columns.div_ceil(COLUMNS);
            let most = limits.workgroups_per_dimension as usize;
            if across > most {
                return Err(Unsupported::new("a product of more columns than a device counts"));
            }
            for start in (0..rows).step_by(most.max(1)) {
                let mut params = Params::default();
                params.push(input)?;
                params.push(product)?;
                params.push(self.inner)?;
                params.push(self.columns)?;
                params.push(first * self.each + start)?;
                params.push(self.each)?;
                params.push(*first)?;
                params.push(output)?;
                params.push_table(self.table(some, &window)?);
                debug_assert_eq!(params.len(), HEADER);
                if let Some(finish) = finish {
                    finish.push(run, &window, &mut params)?;
                }
                into.push(Dispatch {
                    shader: shader.clone(),
                    params: params.finish()?,
                    workgroups: [across as u32, (rows - start).min(most) as u32, 1],
                    fixed: window.range(),
                });
            }
        }
        Ok(())
    }

    /// For each row of the batch, what is added.
    fn table(
        &self,
        parts: &[(usize, usize, Option<&Delta>)],
        window: &Window,
    ) -> Result<Vec<u32>, Unsupported> {
        let mut table = vec![];
        for (_, rows, delta) in parts {
            let entry = match delta {
                None => [0, 0, 0, NONE],
                Some(delta) => {
                    let word = |word: u64| if delta.rank == 0 { Ok(0) } else { window.word(word) };
                    let bias = delta.bias.map_or(Ok(NONE), |word| window.word(word))?;
                    [delta.rank, word(delta.down)?, word(delta.up)?, bias]
                }
            };
            table.extend(std::iter::repeat_n(entry, *rows).flatten());
        }
        Ok(table)
    }
}
