//! Steps at which the models of a joint run differ.
//!
//! A product is done by the base's matrix for all rows at once, and what each model changes is added
//! to its rows; those of a model that has the matrix altogether of its own are left out, and done by
//! that. Any other step is done for the rows of each model by themselves, as it would be alone.

use std::ops::Range;

use kernels::{Correction, Finish, LowRank, Panels};
use rkyv::rend::u32_le;

use super::{
    Fault, Operands, Shared, Workspace,
    memory::written,
    parts::{Parts, Rows, Window},
    products::{rows_of, rows_shown},
    windows::Shown,
};
use crate::{
    Inputs,
    changes::{MatrixRef, WeightsRef},
    plan::{ArchivedStep, PackedPlan, Sizes},
};

/// What is known of the parts of a run.
#[derive(Debug, Default)]
pub(in crate::cpu) struct Apart {
    /// For each step, whether any model changes it. Empty where none does.
    differs: Vec<bool>,
    /// What values come to for so many rows, of which the first `known` are of this run.
    sizes: Vec<(usize, Sizes)>,
    known: usize,
    /// Rows of what a window shows.
    shown: Vec<f32>,
}

impl Apart {
    /// Finds the steps that differ. Takes time by the steps that the models change.
    pub(super) fn begin(&mut self, plan: &PackedPlan, parts: &Parts<'_>) {
        self.differs.clear();
        self.known = 0;
        for adapter in parts.iter().filter_map(|rows| rows.own.0) {
            if self.differs.is_empty() {
                self.differs.resize(plan.plan().steps.len(), false);
            }
            for step in adapter.steps() {
                if let Some(differs) = self.differs.get_mut(*step as usize) {
                    *differs = true;
                }
            }
        }
    }

    pub(super) fn differs(&self, step: usize) -> bool {
        self.differs.get(step).copied().unwrap_or(false)
    }

    /// Finds what values come to for `rows` of a run of which `all` says what they come to.
    fn find(&mut self, plan: &PackedPlan, all: &Sizes, rows: usize) -> Result<usize, Fault> {
        let known = self.sizes.iter().take(self.known).position(|(it, _)| *it == rows);
        if let Some(at) = known {
            return Ok(at);
        }
        let at = self.known;
        if self.sizes.len() <= at {
            self.sizes.push((rows, Sizes::default()));
        }
        let nowhere = Fault::Plan { what: "a part that there is not" };
        let (of, sizes) = self.sizes.get_mut(at).ok_or(nowhere)?;
        *of = rows;
        sizes.symbols.clear();
        sizes.symbols.extend_from_slice(&all.symbols);
        for (symbol, value) in plan.plan().symbols.iter().zip(&mut sizes.symbols) {
            if symbol.axis.to_native() == 0 {
                *value = i64::try_from(rows).unwrap_or(i64::MAX);
            }
        }
        sizes.evaluate(plan)?;
        self.known += 1;
        Ok(at)
    }
}

impl Workspace {
    /// Does a step that some model changes.
    pub(super) fn step_apart(
        &mut self,
        plan: &PackedPlan,
        shared: Shared<'_>,
        inputs: &Inputs,
        step: &ArchivedStep,
        stream: Option<&ArchivedStep>,
    ) -> Result<(), Fault> {
        let Self { frame, slots, memory, scratch, apart } = self;
        if let ArchivedStep::Product { input, matrix, relu, .. } = step {
            let window = Window { sizes: &frame.sizes, cut: None, own: Default::default() };
            let (from, output) =
                Operands::around(plan, inputs, frame, slots, window, memory, step)?;
            let finish = if *relu { Finish::Relu } else { Finish::None };
            match stream {
                Some(window) => {
                    let shown = Shown::of(&from, window)?;
                    let of = Streamed { from: &from, shown, at: matrix.to_native(), shared };
                    of.compute(output, &mut apart.shown, scratch, finish)?;
                }
                None => {
                    Product::of(&from, input, matrix, output, shared)?.compute(scratch, finish)?;
                }
            }
            slots.wrote(plan, &frame.sizes, step);
            return Ok(());
        }
        let all = shared.parts.rows();
        for Rows { range, own } in shared.parts.iter() {
            let (sizes, cut) = if range == (0..all) {
                (&frame.sizes, None)
            } else {
                let at = apart.find(plan, &frame.sizes, range.len())?;
                let nowhere = Fault::Plan { what: "a part that there is not" };
                let (_, sizes) = apart.sizes.get(at).ok_or(nowhere)?;
                (sizes, Some((range, all)))
            };
            let window = Window { sizes, cut, own };
            let (from, output) =
                Operands::around(plan, inputs, frame, slots, window, memory, step)?;
            super::dispatch(step, &from, output, scratch, shared)?;
        }
        slots.wrote(plan, &frame.sizes, step);
        Ok(())
    }
}

/// As many bytes of what a window shows as a core's cache keeps.
const SHOWN_BYTES: usize = 1 << 20;

/// A product of what a window shows to several models.
struct Streamed<'a, 'f> {
    from: &'f Operands<'a>,
    shown: Shown<'a>,
    at: u32,
    shared: Shared<'a>,
}

impl Streamed<'_, '_> {
    fn compute(
        &self,
        output: &mut [u8],
        buffer: &mut Vec<f32>,
        scratch: &mut kernels::Scratch,
        finish: Finish,
    ) -> Result<(), Fault> {
        let panels = self.shared.matrices.panels(self.from.plan, self.at)?;
        let shape = *panels.shape();
        let (rows, of) = (rows_shown(&self.shown, &shape)?, self.shared.parts.rows());
        let output = written::<f32>(output)?;
        let uneven = || Fault::Plan { what: "rows that do not come apart" };
        let each = rows.checked_div(of).filter(|each| each * of == rows).ok_or_else(uneven)?;
        if rows.checked_mul(shape.columns) != Some(output.len()) {
            return Err(uneven());
        }
        let at_once = (SHOWN_BYTES / 4 / shape.inner.max(1)).max(1);
        for Rows { range, own } in self.shared.parts.iter() {
            let (mut first, end) = (range.start * each, range.end * each);
            while first < end {
                let count = at_once.min(end - first);
                let to = first * shape.columns..(first + count) * shape.columns;
                let output = output.get_mut(to).ok_or_else(uneven)?;
                buffer.resize(count * shape.inner, 0.0);
                self.shown.write(first * shape.inner, buffer)?;
                let shared = Shared { parts: Parts::All(own), ..self.shared };
                let (at, left, each) = (self.at, &**buffer, count);
                let mut product = Product { shared, at, panels, left, output, each };
                product.compute(scratch, finish)?;
                first += count;
            }
        }
        Ok(())
    }
}

/// A product of rows of several models.
struct Product<'a, 'o> {
    shared: Shared<'a>,
    at: u32,
    panels: Panels<'a>,
    left: &'a [f32],
    output: &'o mut [f32],
    /// Rows of the product for each of the batch.
    each: usize,
}

impl<'a, 'o> Product<'a, 'o> {
    fn of(
        from: &Operands<'a>,
        input: &u32_le,
        matrix: &u32_le,
        output: &'o mut [u8],
        shared: Shared<'a>,
    ) -> Result<Self, Fault> {
        let at = matrix.to_native();
        let panels = shared.matrices.panels(from.plan, at)?;
        let left = from.numbers::<f32>(input.to_native())?;
        let output = written::<f32>(output)?;
        let (rows, of) = (rows_of(panels.shape(), left, output), shared.parts.rows());
        let uneven = Fault::Plan { what: "rows that do not come apart" };
        let each = rows.checked_div(of).filter(|each| each * of == rows).ok_or(uneven)?;
        Ok(Self { shared, at, panels, left, output, each })
    }

    fn compute(&mut self, scratch: &mut kernels::Scratch, finish: Finish) -> Result<(), Fault> {
        let (mut start, mut end) = (0, 0);
        for Rows { range, own } in self.shared.parts.iter() {
            if let Some(panels) = own.0.and_then(|it| it.whole(self.at)) {
                self.by(self.panels, start..range.start, scratch, Finish::None)?;
                self.by(panels, range.clone(), scratch, finish)?;
                start = range.end;
            }
            end = range.end;
        }
        self.by(self.panels, start..end, scratch, Finish::None)?;
        let at = self.at;
        let mut parts = self.shared.parts.iter().map(|Rows { range, own }| {
            let change = own.0.and_then(|it| it.changes().matrix(at));
            (range, change.copied())
        });
        let mut part = parts.next();
        while let Some((range, change)) = part {
            part = parts.next();
            let next = match &part {
                Some((_, Some(MatrixRef { weights: WeightsRef::LowRank(pair), .. }))) => {
                    Some(*pair)
                }
                _ => None,
            };
            self.correct(range, change, next, scratch, finish)?;
        }
        Ok(())
    }

    /// The product of some rows of the batch by `panels`.
    fn by(
        &mut self,
        panels: Panels<'_>,
        rows: Range<usize>,
        scratch: &mut kernels::Scratch,
        finish: Finish,
    ) -> Result<(), Fault> {
        let helpers = self.shared.helpers;
        let (left, count, output) = self.rows(&rows)?;
        if count == 0 {
            return Ok(());
        }
        Ok(scratch.product_with(helpers, left, count, &panels, finish, output)?)
    }

    /// Adds what a model changes to its rows; the change that comes `next` is asked for meanwhile.
    fn correct(
        &mut self,
        range: Range<usize>,
        change: Option<MatrixRef<'_>>,
        next: Option<LowRank<'_>>,
        scratch: &mut kernels::Scratch,
        finish: Finish,
    ) -> Result<(), Fault> {
        let mut correction = Correction { finish, next, ..Correction::default() };
        if let Some(change) = change {
            match change.weights {
                WeightsRef::Whole(_) => return Ok(()),
                WeightsRef::LowRank(pair) => correction.low_rank = Some(pair),
                WeightsRef::Same => {}
            }
            correction.bias = change.bias;
        }
        if correction.low_rank.is_none() && correction.bias.is_none() && finish == Finish::None {
            return Ok(());
        }
        let columns = self.panels.shape().columns;
        let (left, count, output) = self.rows(&range)?;
        Ok(scratch.correct(left, (count, columns), &correction, output)?)
    }

    /// What is read and written of some rows of the batch, and how many rows of the product they are.
    fn rows(&mut self, rows: &Range<usize>) -> Result<(&'a [f32], usize, &mut [f32]), Fault> {
        let shape = self.panels.shape();
        let (start, end) = (rows.start * self.each, rows.end * self.each);
        let left = self.left.get(start * shape.inner..end * shape.inner);
        let output = self.output.get_mut(start * shape.columns..end * shape.columns);
        let outside = Fault::Plan { what: "rows that there are not" };
        let (left, output) = left.zip(output).ok_or(outside)?;
        Ok((left, end - start, output))
    }
}
