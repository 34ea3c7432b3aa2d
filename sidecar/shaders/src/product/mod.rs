//! Products with packed matrices.
//!
//! One dispatch multiplies all rows, whosever weights they are multiplied with: its tiles are listed in
//! a table with the rows and the place of the weights of each. A matrix that is not bound at once is
//! taken panels by panels.

mod blocks;
mod cooperative;
mod delta;
mod deltas;
mod plan;
mod rows;
mod weights;

use std::fmt::Write;

use inference::plan::{ArchivedPlan, ArchivedStep};

pub(crate) use delta::Delta;
pub(crate) use weights::Packing;

use crate::{
    CooperativeMatrix, Dispatch, Features, Limits, Run, Unsupported,
    chain::{Chain, texts},
};

/// A product as a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Product {
    pub(crate) packing: Packing,
    pub(crate) tile: Tile,
    pub(crate) relu: bool,
    /// What is computed of each element before it is written.
    pub(crate) finish: Option<Chain>,
}

/// What a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tile {
    /// The columns of so many panels, of so many rows. Invocations that there are more of than columns,
    /// four by four, share what is added.
    Rows { rows: u32, threads: u32, panels: u32 },
    /// So many rows and columns; each invocation as many as `each`.
    Blocks { rows: u32, columns: u32, each: [u32; 2] },
    /// A block by cooperative matrices.
    Cooperative(CooperativeMatrix),
}

impl Tile {
    /// Rows of a workgroup.
    pub(crate) const fn rows(self) -> u32 {
        match self {
            Self::Rows { rows, .. } | Self::Blocks { rows, .. } => rows,
            Self::Cooperative(_) => cooperative::SIZE,
        }
    }
}

/// The words of parameters before those of what is computed last.
pub(crate) const HEADER: usize = 8;

/// Four columns of a row as they are written, `column` among those that are computed here.
pub(crate) const WRITE: &str = "\
fn write(row: u32, end_row: u32, column: u32, numbers: vec4<f32>) {
    if (row >= end_row || column >= params[4]) {
        return;
    }
    let e = row * params[3] + params[6] + column;
    let there = params[4] - column;
    memory[params[1] + e] = bitcast<u32>(finished(numbers.x, e));
    if (there > 1u) {
        memory[params[1] + e + 1u] = bitcast<u32>(finished(numbers.y, e + 1u));
    }
    if (there > 2u) {
        memory[params[1] + e + 2u] = bitcast<u32>(finished(numbers.z, e + 2u));
    }
    if (there > 3u) {
        memory[params[1] + e + 3u] = bitcast<u32>(finished(numbers.w, e + 3u));
    }
}
";

impl Product {
    pub(crate) fn wgsl(&self) -> String {
        match self.tile {
            Tile::Rows { rows, threads, panels } => rows::text(self, rows, threads, panels),
            Tile::Blocks { rows, columns, each } => blocks::text(self, [rows, columns], each),
            Tile::Cooperative(matrix) => cooperative::text(self, matrix),
        }
    }

    pub(crate) fn features(&self) -> Features {
        let all = matches!(self.tile, Tile::Cooperative(_));
        Features { subgroups: all, f16: all, cooperative_matrix: all }
    }

    pub(crate) fn name(&self) -> String {
        let tile = match self.tile {
            Tile::Rows { rows, .. } => format!("{rows} rows"),
            Tile::Blocks { rows, columns, .. } => format!("{rows}x{columns}"),
            Tile::Cooperative(_) => "cooperative".to_owned(),
        };
        let more = self.finish.as_ref().map_or(0, |it| it.ops.len()) + usize::from(self.relu);
        format!("product {:?} {tile} +{more}", self.packing.element)
    }

    /// The functions that finish an element: `fn finished(value: f32, e: u32) -> f32`.
    fn finish_text(&self) -> String {
        finish_text(self.relu, self.finish.as_ref(), HEADER)
    }
}

/// `fn finished(value: f32, e: u32) -> f32`: an element of this index before it is written.
pub(crate) fn finish_text(relu: bool, finish: Option<&Chain>, header: usize) -> String {
    let more = if relu { Some("f_relu") } else { None };
    let mut text = match finish {
        Some(chain) => chain.prelude(header, more),
        None => texts(more),
    };
    let value = if relu { "f_relu(value)" } else { "value" };
    let value = if finish.is_some() { format!("chain(e, {value})") } else { value.to_owned() };
    let _ = writeln!(text, "fn finished(value: f32, e: u32) -> f32 {{\n    return {value};\n}}");
    text
}

/// Whether a matrix is read as it lies.
pub(crate) fn supports(plan: &ArchivedPlan, matrix: u32) -> Result<(), Unsupported> {
    if plan.matrices.get(matrix as usize).is_none() {
        return Err(Unsupported::new("a matrix that there is not"));
    }
    if plan.layouts.iter().all(|it| !Packing::reads(it.lanes.to_native() as usize)) {
        return Err(Unsupported::new("panels that are not of 4, 8, 16, 32 or 64 columns"));
    }
    Ok(())
}

/// The product of `step`, and what `rest` computes of it element by element.
pub(crate) fn dispatches(
    run: &Run<'_>,
    step: &ArchivedStep,
    rest: &[&ArchivedStep],
    limits: &Limits,
) -> Result<Vec<Dispatch>, Unsupported> {
    plan::Planned::new(run, step, rest, limits)?.dispatches()
}
