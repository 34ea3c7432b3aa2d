//! Which kernel computes which rows.

use crate::native::{Kernel, Native};

/// Some rows, all computed by one kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// An index into [`Native::kernels`].
    pub(crate) kernel: usize,
    /// The first row.
    pub(crate) start: usize,
    /// How many times the kernel's rows. The last tile may pass the end.
    pub(crate) tiles: usize,
}

/// At most two runs that cover some rows with as little waste as the kernels allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tiling {
    pub(crate) rows: usize,
    runs: [Option<Run>; 2],
}

impl Tiling {
    /// Covers `rows`. A tile costs what its rows cost, used or not, and one row more for reading
    /// the panel.
    pub(crate) fn cover(native: &Native, rows: usize) -> Self {
        let cost = |kernel: &Kernel, tiles: usize| tiles * (kernel.rows + 1);
        let mut best = (usize::MAX, Self { rows, runs: [None; 2] });
        for (at, kernel) in native.kernels.iter().enumerate() {
            for whole in 0..=rows / kernel.rows {
                let left = rows - whole * kernel.rows;
                for (other_at, other) in native.kernels.iter().enumerate() {
                    let tiles = left.div_ceil(other.rows);
                    let total = cost(kernel, whole) + cost(other, tiles);
                    if total < best.0 {
                        let first = Run { kernel: at, start: 0, tiles: whole };
                        let second = Run { kernel: other_at, start: whole * kernel.rows, tiles };
                        let runs = [first, second].map(|run| (run.tiles > 0).then_some(run));
                        best = (total, Self { rows, runs });
                    }
                }
            }
        }
        best.1
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> + use<> {
        self.runs.into_iter().flatten()
    }

    /// Rows with those that fill the last tiles up.
    pub(crate) fn padded_rows(&self, native: &Native) -> usize {
        self.runs()
            .map(|run| native.kernels.get(run.kernel).map_or(0, |it| it.rows * run.tiles))
            .sum()
    }
}
