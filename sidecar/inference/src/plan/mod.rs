//! How a model is computed, as data: what a package carries and a backend runs.
//!
//! A [`Plan`] is a list of steps over values. A value has a kind, a shape and a place: an input of
//! the request, a constant of the package, or a slot of the memory that one run needs. Shapes are
//! expressions over a few symbols, the open dimensions of the inputs, so that one plan serves every
//! batch. Weights of products are no values but matrices, which lie packed in sections of their
//! own, once for each layout that some processor's kernels read.
//!
//! Nothing here says how a step is computed: that is a backend's. Start with [`Plan`], then
//! [`Step`].

mod archived;
mod check;
mod difference;
mod dimension;
mod extent;
mod frame;
mod rows;
mod step;
mod streams;
mod window;

use rkyv::{Archive, Deserialize, Serialize};

pub use archived::PackedPlan;
pub use check::PlanError;
pub(crate) use difference::difference;
pub use dimension::{Dimension, Term};
pub use frame::{Frame, FrameError, Shape, Sizes};
pub use rows::{Major, Mixing, Rows, rows};
pub use step::{
    Along, ArchivedAlong, ArchivedBinary, ArchivedReduction, ArchivedStep, ArchivedTap,
    ArchivedUnary, ArchivedWindowed, Binary, Reduction, Step, Tap, Unary, Windowed,
};
pub use window::{Bound, Reading, Walk};

/// The most dimensions that a value has.
pub const MAX_RANK: usize = 8;
/// Plans of a later version are refused: steps mean what this release takes them for. Version 2 has
/// [`Step::Window`]; a plan without it is of version 1, so that earlier releases run it too.
pub const PLAN_VERSION: u32 = 2;

/// How a model is computed.
#[derive(Debug, Clone, Default, PartialEq, Archive, Serialize, Deserialize)]
pub struct Plan {
    /// The first one that has all its steps, at most [`PLAN_VERSION`].
    pub version: u32,
    /// Where the values of symbols are read from, by symbol.
    pub symbols: Vec<SymbolSource>,
    /// Every dimension that occurs, each once.
    pub dimensions: Vec<Dimension>,
    /// Every value.
    pub values: Vec<Value>,
    /// How many slots there are.
    pub slots: u32,
    /// Every packed matrix.
    pub matrices: Vec<Matrix>,
    /// The layouts in which the matrices are in the package.
    pub layouts: Vec<Layout>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// The values that are the answer, in the signature's order.
    pub outputs: Vec<u32>,
}

/// Where the value of a symbol is read from: a dimension of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SymbolSource {
    /// Which input, in the signature's order.
    pub input: u32,
    /// Which of its dimensions.
    pub axis: u32,
}

/// A tensor.
#[derive(Debug, Clone, PartialEq, Archive, Serialize, Deserialize)]
pub struct Value {
    /// What its elements are.
    pub kind: Kind,
    /// Its dimensions, outermost first, as indexes into [`Plan::dimensions`].
    pub shape: Vec<u32>,
    /// Where its elements are, in row-major order.
    pub place: Place,
}

/// What the elements of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub enum Kind {
    /// A byte, 0 or 1.
    Bool,
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
    /// Strings. Only inputs are.
    Text,
}

impl Kind {
    /// Bytes of one element; texts take none of a run's memory.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Text => 0,
            Self::Bool => 1,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }
}

impl ArchivedKind {
    /// Bytes of one element in memory; texts take none of a run's.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Text => 0,
            Self::Bool => 1,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }
}

/// Where the elements of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum Place {
    /// The request's input of this index in the signature's order.
    Input(u32),
    /// The package's constants, from this byte on.
    Constant(u64),
    /// This slot of the run's memory. Values that are not needed at the same time may share one.
    Slot(u32),
}

/// A packed matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Matrix {
    /// Rows: the length of what it is multiplied with.
    pub inner: u64,
    /// Columns: the length of what comes out.
    pub columns: u64,
    /// Whether a bias is packed with it.
    pub has_bias: bool,
    /// What its elements are.
    pub element: WeightKind,
}

/// What the elements of a matrix are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum WeightKind {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8-bit integers, with a scale for each column.
    I8,
}

/// A section in which all matrices are packed for kernels of one layout.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Layout {
    /// How many columns a panel has.
    pub lanes: u32,
    /// The key of its section.
    pub key: String,
    /// Where each matrix starts in the section, by matrix.
    pub offsets: Vec<u64>,
}
