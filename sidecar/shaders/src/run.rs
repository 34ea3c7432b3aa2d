//! Where everything of a run is on a device.

use inference::plan::{ArchivedPlan, Rows};

/// A run of a plan: what memory looks like, and what its dimensions come to.
///
/// A run has one buffer of 32-bit words, the arena, with every slot of the plan and every input. The
/// weights are in another one, the slab, in which models of equal plans have slots of equal size: the
/// panels of one layout, and the section of constants, both as they are in the package.
///
/// In the arena F32 and I32 take a word an element, I64 two, the low one first, and Bool one, 0 or 1.
/// Constants of Bool are bytes, as in the package.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The plan, which was checked.
    pub plan: &'a ArchivedPlan,
    /// How its values depend on the batch; read where there are several parts.
    pub rows: &'a Rows,
    /// What each of [`ArchivedPlan::dimensions`] comes to.
    pub dimensions: &'a [usize],
    /// The word of the arena where each value starts, by value: a multiple of 64, behind
    /// [`crate::FAULT_WORDS`]. Not read for constants and texts.
    pub places: &'a [u32],
    /// The words of the arena.
    pub arena_words: u32,
    /// Where weights lie in a slot.
    pub weights: Weights<'a>,
    /// The words of the slab; a multiple of 64.
    pub slab_words: u64,
    /// The models that the batch's rows are of: one, or several of equal plans and layouts. The
    /// rows of the first come first.
    pub parts: &'a [Part<'a>],
}

/// Where weights lie in a slot, in words from its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weights<'a> {
    /// How many columns a panel has.
    pub lanes: usize,
    /// Where each matrix starts, by matrix: multiples of 16.
    pub matrices: &'a [u64],
    /// Where the section of constants starts: a multiple of 16.
    pub constants: u64,
    /// The words of a slot; a multiple of 64.
    pub slot_words: u64,
}

/// A model of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part<'a> {
    /// How many rows of the batch are its.
    pub rows: u32,
    /// The word of the slab where its slot starts: a multiple of 64. That of its base, where it has one.
    pub slot: u64,
    /// Weights that it has itself, somewhere else in the slab.
    pub replaced: &'a [Replaced],
    /// What it adds to matrices; at most one for each.
    pub deltas: &'a [Delta],
}

/// A weight that is not the base's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// Which one.
    pub weight: Weight,
    /// The word of the slab where it starts: a multiple of 16. It takes as many as the base's.
    pub word: u64,
}

/// A weight of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The matrix of this index, with its bias.
    Matrix(u32),
    /// The constant that starts at this byte of the section.
    Constant(u64),
}

/// A product of two small matrices that is added to a matrix: `output += (input · down) · up`,
/// before the activation.
///
/// All numbers are F32 and lie row-major: `down` as `rank` rows of the matrix's `inner` numbers, that is
/// transposed, and `up` as `rank` rows of its `columns` numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// Which matrix of the plan it is added to.
    pub matrix: u32,
    /// How many numbers are between the two; 0 where only the bias differs.
    pub rank: u32,
    /// The word of the slab where `down` starts: a multiple of 16.
    pub down: u64,
    /// The word of the slab where `up` starts: a multiple of 16.
    pub up: u64,
    /// The word of the slab from which a number for each column is added to the bias, where some are.
    pub bias: Option<u64>,
}
