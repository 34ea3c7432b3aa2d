//! How the weights of a matrix differ.
#![allow(missing_docs, reason = "rkyv's derive does not take over the words of every field")]

use std::fmt;

use rkyv::{Archive, Serialize};

/// How the weights of a matrix differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
pub enum WeightChange {
    /// They do not.
    Same,
    /// By the product of two thin matrices, `weights + downᵀ · up`.
    LowRank {
        /// What both are kept as.
        element: PairKind,
        /// How many rows both have.
        rank: u32,
        /// Where the first starts: `rank` rows of as many numbers as the matrix has rows. Of 8-bit
        /// integers, the scales come before them: `rank` 32-bit floats, and zeros up to the next place
        /// where something may start.
        down: u64,
        /// Where the second starts: `rank` rows of as many numbers as the matrix has columns, in the order
        /// of [`kernels::column_blocks`].
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

/// What the two thin matrices of a change are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
pub enum PairKind {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, widened while they are read.
    F16,
    /// 8-bit integers, with a scale for each of their rows.
    I8,
}

impl PairKind {
    /// Bytes of a number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 => 1,
        }
    }
}

impl ArchivedPairKind {
    /// The same where it is not archived.
    pub const fn get(&self) -> PairKind {
        match self {
            Self::F32 => PairKind::F32,
            Self::F16 => PairKind::F16,
            Self::I8 => PairKind::I8,
        }
    }
}

impl fmt::Display for PairKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
        })
    }
}
