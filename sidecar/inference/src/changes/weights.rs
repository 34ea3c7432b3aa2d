//! How the weights of a matrix differ.
#![allow(missing_docs, reason = "rkyv's derive does not take over the words of every field")]

use rkyv::{Archive, Serialize};

/// How the weights of a matrix differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
pub enum WeightChange {
    /// They do not.
    Same,
    /// By the product of two thin matrices, `weights + downᵀ · up`.
    LowRank {
        /// How many rows both have.
        rank: u32,
        /// Where the first starts: `rank` rows of as many numbers as the matrix has rows.
        down: u64,
        /// Where the second starts: `rank` rows of as many numbers as the matrix has columns.
        up: u64,
    },
    /// Altogether, with the bias.
    Whole {
        /// How many columns a panel has.
        lanes: u32,
        /// Where the panels start, with elements of 32-bit floats: see [`kernels::PanelShape`].
        panels: u64,
    },
}
