//! What a package changes of another one, as data.
//!
//! A package with a base ([`artifact::Header::base`]) has no plan of its own: it runs by its base's,
//! with other numbers. Its [`artifact::SectionKind::Delta`] sections say which. The one named
//! [`CHANGES`] is an rkyv archive of [`Changes`]; the one named [`NUMBERS`] holds the numbers, 32-bit
//! little-endian floats but for thin matrices, which say what they are kept as ([`PairKind`]), and for
//! constants, which are as they are in the base. What is changed starts there at multiples of 64 bytes,
//! so that it is read from where it is mapped.
//!
//! Start with [`Changes`], then [`PackedChanges::open`].

mod archived;
mod weights;

use rkyv::{Archive, Serialize};

pub use archived::{ChangesError, MatrixRef, PackedChanges, WeightsRef};
pub use weights::{ArchivedPairKind, ArchivedWeightChange, PairKind, WeightChange};

/// Changes of another number are refused: before 3, thin matrices were kept in another order.
pub const CHANGES_VERSION: u32 = 3;
/// The key of the section that says what is changed.
pub const CHANGES: &str = "changes";
/// The key of the section with the numbers.
pub const NUMBERS: &str = "numbers";
/// Changes start at multiples of so many bytes of their section.
pub const NUMBERS_ALIGNMENT: usize = 64;
/// The largest rank of a change.
pub const MAX_RANK: usize = 1024;

/// What a package changes of its base.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct Changes {
    /// [`CHANGES_VERSION`].
    pub version: u32,
    /// The matrices that differ, each once, by rising [`MatrixChange::matrix`].
    pub matrices: Vec<MatrixChange>,
    /// The constants that differ, each once, by rising [`ConstantChange::start`].
    pub constants: Vec<ConstantChange>,
}

/// A matrix that differs.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize)]
pub struct MatrixChange {
    /// An index into the matrices of the base's plan.
    pub matrix: u32,
    /// How its weights differ.
    pub weights: WeightChange,
    /// Where what is added to its bias starts, a number for each column. None with
    /// [`WeightChange::Whole`], which has its own.
    pub bias: Option<u64>,
}

/// A constant that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
pub struct ConstantChange {
    /// Where it starts among the base's constants.
    pub start: u64,
    /// How many bytes it has, there and here.
    pub bytes: u64,
    /// Where what stands for it starts.
    pub at: u64,
}
