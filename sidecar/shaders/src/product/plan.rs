//! Which tiles a product has, and how they come to dispatches.

use std::ops::Range;

use inference::plan::ArchivedStep;
use kernels::Element;

use super::{Packing, Product, Tile, cooperative, deltas::Deltas};
use crate::{
    Dispatch, Limits, Run, Shader, Unsupported, Weight,
    chain::Built,
    dispatch::Kernel,
    operand::{At, Fixed, Kind},
    params::Params,
    window::Window,
};

/// Subgroups of so few invocations are those of devices that compute on the CPU.
const NARROW: u32 = 8;

/// A product of a run.
pub(super) struct Planned<'a, 'r> {
    run: &'r Run<'a>,
    limits: &'r Limits,
    packing: Packing,
    panel_words: u64,
    panels: u64,
    inner: usize,
    columns: usize,
    input: u32,
    output: u32,
    /// Where the output goes once it is finished.
    finished: u32,
    relu: bool,
    finish: Option<Built>,
    deltas: Option<Deltas<'a>>,
    /// Rows that follow one another and are multiplied with the same weights.
    spans: Vec<Span>,
}

/// Rows, and the word of the slab where their weights start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: usize,
    rows: usize,
    weights: u64,
}

impl<'a, 'r> Planned<'a, 'r> {
    pub(super) fn new(
        run: &'r Run<'a>,
        step: &ArchivedStep,
        rest: &[&ArchivedStep],
        limits: &'r Limits,
    ) -> Result<Self, Unsupported> {
        let unfit = || Unsupported::new("operands of a product that do not fit");
        let ArchivedStep::Product { input, matrix, output, relu } = step else {
            return Err(unfit());
        };
        let output_value = output.to_native();
        let (from, to) = (run.operand(input.to_native())?, run.operand(output_value)?);
        let matrix = matrix.to_native();
        let (packing, shape) = Packing::of(run.plan, matrix, run.weights.lanes)?;
        let (At::Arena(input), At::Arena(output)) = (&from.at, &to.at) else {
            return Err(Unsupported::new("a product of a constant"));
        };
        let (inner, columns) = (shape.inner, shape.columns);
        let rows = match inner {
            0 => to.count / columns.max(1),
            inner => from.count / inner,
        };
        if (from.kind, to.kind) != (Kind::F32, Kind::F32)
            || rows.checked_mul(inner) != Some(from.count)
            || rows.checked_mul(columns) != Some(to.count)
        {
            return Err(unfit());
        }
        let too_large = |_| Unsupported::new("a matrix beyond the address space");
        let words = shape.bytes().map_err(too_large)? as u64 / 4;
        let panel_words = shape.panel_bytes().map_err(too_large)? as u64 / 4;
        let finish = match rest {
            [] => None,
            rest => Some(Built::new(run, rest, Some(output_value))?),
        };
        let mut finished = *output;
        if let Some(finish) = &finish {
            if finish.output.kind != Kind::F32 || finish.output.count != to.count {
                return Err(Unsupported::new("what follows a product is no F32 of its size"));
            }
            finished = finish.written_at()?;
        }
        let spans = match run.fixed(Weight::Matrix(matrix), words)? {
            Fixed::Same(weights) => vec![Span { first: 0, rows, weights }],
            Fixed::ByPart(starts) => {
                let of_row = run.row_elements(output_value, &to)?;
                spans(run, &starts, rows, of_row, columns).ok_or_else(unfit)?
            }
        };
        Ok(Self {
            run,
            limits,
            packing,
            panel_words,
            panels: shape.panels() as u64,
            inner,
            columns,
            input: *input,
            output: *output,
            finished,
            relu: *relu,
            finish,
            deltas: Deltas::of(run, matrix, [rows, inner, columns])?,
            spans,
        })
    }

    pub(super) fn dispatches(self) -> Result<Vec<Dispatch>, Unsupported> {
        let rows: usize = self.spans.iter().map(|it| it.rows).sum();
        if rows == 0 || self.columns == 0 {
            return Ok(vec![]);
        }
        let tile = self.tile(rows);
        let mut tiles = vec![];
        for span in &self.spans {
            for first in (0..span.rows).step_by(tile.rows() as usize) {
                let rows = (span.rows - first).min(tile.rows() as usize);
                tiles.push(Span { first: span.first + first, rows, weights: span.weights });
            }
        }
        let mut dispatches = vec![];
        self.split(tile, &tiles, 0..self.panels, &mut dispatches)?;
        if let Some(deltas) = &self.deltas {
            let places = [self.input, self.output, self.finished];
            let finish = self.finish.as_ref();
            deltas.dispatches(self.run, self.limits, places, self.relu, finish, &mut dispatches)?;
        }
        Ok(dispatches)
    }

    /// The largest tiles of which there are enough to keep a device busy.
    fn tile(&self, rows: usize) -> Tile {
        let longest = self.spans.iter().map(|it| it.rows).max().unwrap_or(0);
        if longest <= 8 {
            let rows = (longest as u32).next_power_of_two();
            let (fours, subgroup) = (self.packing.lanes / 4, self.limits.subgroup_size);
            if subgroup <= NARROW {
                // Invocations of several subgroups would wait for each other for longer than they add.
                let panels = (subgroup / fours).max(1);
                return Tile::Rows { rows, threads: panels * fours, panels };
            }
            // What is short is not worth many invocations.
            let threads = if self.inner <= 256 { 64 } else { 256 };
            return Tile::Rows { rows, threads, panels: 1 };
        }
        if let Some(matrix) = self.limits.cooperative_matrix
            && self.packing.element == Element::F16
            && cooperative::is_possible(matrix, self.limits)
        {
            return Tile::Cooperative(matrix);
        }
        let each = rows / self.spans.len().max(1);
        let busy = |size: usize| {
            let tiles = self.spans.len() * each.div_ceil(size) * self.columns.div_ceil(size);
            each * 2 >= size && tiles >= 64
        };
        for (size, part) in [(128, 8), (64, 4)] {
            let tile = Tile::Blocks { rows: size, columns: size, each: [part; 2] };
            let [threads, bytes] = crate::block::needs([size; 2], [part; 2]);
            if busy(size as usize) && self.limits.check(threads, bytes).is_ok() {
                return tile;
            }
        }
        Tile::Blocks { rows: 32, columns: 32, each: [4, 4] }
    }

    /// What is computed of each element, where nothing is added before.
    fn own_finish(&self) -> Option<&Built> {
        self.finish.as_ref().filter(|_| self.deltas.is_none())
    }

    /// Tiles over some panels in as few dispatches as bindings and workgroup counts let be.
    fn split(
        &self,
        tile: Tile,
        tiles: &[Span],
        panels: Range<u64>,
        into: &mut Vec<Dispatch>,
    ) -> Result<(), Unsupported> {
        let Some(across) = self.across(tile, &panels) else { return Ok(()) };
        let most = self.limits.workgroups_per_dimension as usize;
        let own = tiles.iter().map(|it| {
            let at = |panel: u64| it.weights + panel * self.panel_words;
            at(panels.start)..at(panels.end)
        });
        let finish = self.own_finish().into_iter().flat_map(Built::ranges);
        let window = Window::over(self.run, self.limits, own.chain(finish));
        if let Some(window) = window
            && tiles.len() <= most
            && across <= most
        {
            into.push(self.dispatch(tile, tiles, panels, across, &window)?);
            return Ok(());
        }
        let middle = tiles.len() / 2;
        let differ = tiles
            .windows(2)
            .any(|it| it.first().map(|it| it.weights) != it.last().map(|it| it.weights));
        if middle > 0 && (tiles.len() > most || (window.is_none() && differ)) {
            let (first, second) = tiles.split_at(middle);
            self.split(tile, first, panels.clone(), into)?;
            return self.split(tile, second, panels, into);
        }
        let middle = panels.start + (panels.end - panels.start) / 2;
        if middle == panels.start {
            return Err(Unsupported::new("a matrix of which no panel can be bound"));
        }
        self.split(tile, tiles, panels.start..middle, into)?;
        self.split(tile, tiles, middle..panels.end, into)
    }

    /// How many workgroups lie side by side over some panels.
    fn across(&self, tile: Tile, panels: &Range<u64>) -> Option<usize> {
        let width = usize::try_from(panels.end - panels.start).ok()?;
        let columns = width.checked_mul(self.packing.lanes as usize)?;
        let across = match tile {
            Tile::Rows { panels, .. } => width.div_ceil(panels as usize),
            Tile::Blocks { columns: each, .. } => columns.div_ceil(each as usize),
            Tile::Cooperative(_) => columns.div_ceil(cooperative::SIZE as usize),
        };
        (across > 0).then_some(across)
    }

    fn dispatch(
        &self,
        tile: Tile,
        tiles: &[Span],
        panels: Range<u64>,
        across: usize,
        window: &Window,
    ) -> Result<Dispatch, Unsupported> {
        let too_large = || Unsupported::new("a product of more columns than a device counts");
        let column = |panel: u64| {
            let column = usize::try_from(panel).ok()?.checked_mul(self.packing.lanes as usize)?;
            Some(column.min(self.columns))
        };
        let first = column(panels.start).ok_or_else(too_large)?;
        let end = column(panels.end).ok_or_else(too_large)?;
        let mut params = Params::default();
        params.push(self.input)?;
        params.push(if self.deltas.is_some() { self.output } else { self.finished })?;
        params.push(self.inner)?;
        params.push(self.columns)?;
        params.push(end - first)?;
        params.push(self.panel_words)?;
        params.push(first)?;
        let mut table = vec![];
        for it in tiles {
            let weights = window.word(it.weights + panels.start * self.panel_words)?;
            for number in [it.first, it.rows] {
                table.push(u32::try_from(number).map_err(|_| too_large())?);
            }
            table.push(weights);
        }
        params.push_table(table);
        let mut chain = None;
        if let Some(finish) = self.own_finish() {
            finish.push(self.run, window, &mut params)?;
            chain = Some(finish.chain.clone());
        }
        let relu = self.relu && self.deltas.is_none();
        let product = Product { packing: self.packing, tile, relu, finish: chain };
        let count = |number: usize| u32::try_from(number).map_err(|_| too_large());
        Ok(Dispatch {
            shader: Shader::new(Kernel::Product(product)),
            params: params.finish()?,
            workgroups: [count(across)?, count(tiles.len())?, 1],
            fixed: window.range(),
        })
    }
}

/// The rows of each part, where a row of the batch has whole rows of the product.
fn spans(
    run: &Run<'_>,
    starts: &[u64],
    rows: usize,
    row_elements: usize,
    columns: usize,
) -> Option<Vec<Span>> {
    let each = row_elements.checked_div(columns).unwrap_or(0);
    if columns > 0 && !row_elements.is_multiple_of(columns) {
        return None;
    }
    let mut spans: Vec<Span> = vec![];
    let mut first = 0;
    for (part, weights) in run.live_parts().zip(starts) {
        let count = each.checked_mul(part.rows as usize)?;
        match spans.last_mut() {
            Some(last) if last.weights == *weights => last.rows += count,
            _ => spans.push(Span { first, rows: count, weights: *weights }),
        }
        first += count;
    }
    (first == rows).then_some(spans)
}
