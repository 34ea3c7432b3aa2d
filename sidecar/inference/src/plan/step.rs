//! The steps of a plan.
#![allow(missing_docs, reason = "rkyv's derive does not take over the words of every field")]

use rkyv::{Archive, Deserialize, Serialize};

/// One thing to do. Values are indexes into [`super::Plan::values`].
#[derive(Debug, Clone, PartialEq, Archive, Serialize, Deserialize)]
pub enum Step {
    /// `output = input · matrix + bias`, over the last dimension of `input`; both are F32.
    Product {
        /// Rows of the matrix's `inner` numbers, however many.
        input: u32,
        /// An index into [`super::Plan::matrices`].
        matrix: u32,
        /// As many rows of the matrix's `columns` numbers.
        output: u32,
        /// Whether negative numbers become 0.
        relu: bool,
    },
    /// `output[b] = left[b] · right[b]` for two values of F32 that are both computed.
    MatMul {
        /// Of shape [batch, rows, inner].
        left: u32,
        /// Of shape [batch, inner, columns], or [batch, columns, inner] where `transposed`.
        right: u32,
        /// Of shape [batch, rows, columns].
        output: u32,
        /// The dimensions batch, rows, inner and columns.
        dimensions: [u32; 4],
        /// Whether `right` is transposed.
        transposed: bool,
    },
    /// `output = op(input)`, element by element.
    Unary {
        /// The function.
        op: Unary,
        /// What it is applied to.
        input: u32,
        /// Of the same shape and kind.
        output: u32,
    },
    /// `output = op(left, right)`, element by element; a dimension of 1 is repeated.
    Binary {
        /// The function.
        op: Binary,
        /// Its first argument.
        left: u32,
        /// Its second argument, of the same kind and rank.
        right: u32,
        /// Of the same kind, or Bool where the function compares.
        output: u32,
    },
    /// `output = condition ? yes : no`; a dimension of 1 is repeated.
    Select {
        /// Of kind Bool.
        condition: u32,
        /// Where it is true.
        yes: u32,
        /// Where it is false.
        no: u32,
        /// Of the kind of `yes` and `no`.
        output: u32,
    },
    /// The same numbers as another kind.
    Cast {
        /// What is cast.
        input: u32,
        /// Of another kind.
        output: u32,
    },
    /// `output[i...] = input[start + i... · axes]`: permuted, sliced or repeated.
    Move {
        /// What is read.
        input: u32,
        /// What is written.
        output: u32,
        /// For each dimension of `output`, the dimension of `input` that it steps along; one that
        /// is repeated steps along none, which is written as the rank of `input`.
        axes: Vec<u32>,
        /// For each dimension of `input`, where it starts: indexes into [`super::Plan::dimensions`].
        /// Empty where all start at 0.
        starts: Vec<u32>,
    },
    /// Inputs one behind the other.
    Concat {
        /// Along which dimension.
        axis: u32,
        /// What is joined.
        inputs: Vec<u32>,
        /// What comes out.
        output: u32,
    },
    /// `output[a, i, b] = table[a, indices[i], b]`.
    Gather {
        /// Along which dimension of the table.
        axis: u32,
        /// What is looked up in.
        table: u32,
        /// Of kind I64. Negative ones count from the end.
        indices: u32,
        /// What comes out.
        output: u32,
    },
    /// The position of each text in a list.
    Category {
        /// Of kind Text.
        input: u32,
        /// Of kind I64.
        output: u32,
        /// The texts, sorted.
        texts: Vec<String>,
        /// What each stands for.
        codes: Vec<i64>,
        /// What every other text stands for.
        otherwise: i64,
    },
    /// `exp(x - max) / sum`, or its logarithm, over a range of dimensions.
    Softmax {
        /// What it is applied to.
        input: u32,
        /// Of the same shape.
        output: u32,
        /// The first of the dimensions.
        axis: u32,
        /// How many there are.
        axes: u32,
        /// Whether the logarithm is wanted.
        log: bool,
    },
    /// One number out of those along a range of dimensions, which become 1.
    Reduce {
        /// Which number.
        op: Reduction,
        /// What is reduced.
        input: u32,
        /// What comes out.
        output: u32,
        /// The first of the dimensions.
        axis: u32,
        /// How many there are.
        axes: u32,
    },
    /// `x / sqrt(mean(x²) + epsilon)` along a dimension.
    RmsNorm {
        /// What it is applied to.
        input: u32,
        /// Of the same shape.
        output: u32,
        /// Which dimension.
        axis: u32,
        /// What is added under the root.
        epsilon: f32,
    },
    /// `output[i...] = op over taps[k...] of input[place(i..., k...)] · weights[k..., i last]`: what a
    /// window shows that is moved over the input. Along each dimension of `input`, the place is the sum
    /// of what `along` and `taps` say for it, and 0 where none does. Elements beyond the input are `fill`.
    ///
    /// Plans with it are of version 2 at least.
    Window {
        /// What is taken of the elements that the window shows.
        op: Windowed,
        /// What is read.
        input: u32,
        /// What each element is multiplied by, of shape [taps..., last dimension of `output`], where it
        /// is something. For sums alone.
        weights: Option<u32>,
        /// What is written.
        output: u32,
        /// For each dimension of `output`, how the window moves along `input`.
        along: Vec<Along>,
        /// The dimensions of the window.
        taps: Vec<Tap>,
        /// What stands beyond the input, as a number of its kind. Sums and maxima take it for nothing.
        fill: f32,
    },
}

/// What is taken of the elements that a window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub enum Windowed {
    /// The only one: the window has no taps.
    Copy,
    /// The largest of those in the input; minus infinity where there is none. F32.
    Max,
    /// The sum of those in the input. F32.
    Sum,
}

/// How a window moves along a dimension of its input with one of its output's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Along {
    /// The dimension of the input; its rank where it moves along none.
    pub axis: u32,
    /// How far it moves with each step, backwards where negative.
    pub stride: i64,
    /// Where it is before the first step.
    pub start: i64,
}

/// A dimension of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Tap {
    /// The dimension of the input.
    pub axis: u32,
    /// How far its elements are apart.
    pub stride: i64,
    /// How many there are.
    pub count: u32,
}

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Archive, Serialize, Deserialize)]
pub enum Unary {
    /// Magnitude.
    Abs,
    /// Arc cosine.
    Acos,
    /// Inverse hyperbolic cosine.
    Acosh,
    /// Arc sine.
    Asin,
    /// Inverse hyperbolic sine.
    Asinh,
    /// Arc tangent.
    Atan,
    /// Inverse hyperbolic tangent.
    Atanh,
    /// Rounded up.
    Ceil,
    /// Cosine.
    Cos,
    /// Hyperbolic cosine.
    Cosh,
    /// Error function.
    Erf,
    /// Exponential.
    Exp,
    /// Rounded down.
    Floor,
    /// `x · Φ(x)`.
    Gelu,
    /// Gelu by the hyperbolic tangent.
    GeluTanh,
    /// `x · clamp(x / 6 + 1 / 2, 0, 1)`.
    HardSwish,
    /// `x`, or `x` times this where negative.
    LeakyRelu(f32),
    /// Natural logarithm.
    Ln,
    /// `-x`.
    Neg,
    /// Not; of Bool.
    Not,
    /// To this power.
    Pow(f32),
    /// `1 / x`.
    Recip,
    /// Rounded to nearest, ties away from 0.
    Round,
    /// Rounded to nearest, ties to even.
    RoundTiesEven,
    /// `1 / sqrt(x)`.
    Rsqrt,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// -1, 0 or 1.
    Sign,
    /// `x · sigmoid(x)`.
    Silu,
    /// Sine.
    Sin,
    /// Hyperbolic sine.
    Sinh,
    /// Square root.
    Sqrt,
    /// `x · x`.
    Square,
    /// Tangent.
    Tan,
    /// Hyperbolic tangent.
    Tanh,
}

/// A function of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Binary {
    /// Sum.
    Add,
    /// And; of Bool.
    And,
    /// Quotient; of integers, rounded towards 0.
    Div,
    /// Whether equal.
    Equal,
    /// Whether the first is larger.
    Greater,
    /// Whether the first is larger or equal.
    GreaterEqual,
    /// Whether the first is smaller.
    Less,
    /// Whether the first is smaller or equal.
    LessEqual,
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// Product.
    Mul,
    /// Whether different.
    NotEqual,
    /// Or; of Bool.
    Or,
    /// The first to the power of the second.
    Pow,
    /// Difference.
    Sub,
    /// Either, and not both; of Bool.
    Xor,
}

impl Binary {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Add,
        Self::And,
        Self::Div,
        Self::Equal,
        Self::Greater,
        Self::GreaterEqual,
        Self::Less,
        Self::LessEqual,
        Self::Max,
        Self::Min,
        Self::Mul,
        Self::NotEqual,
        Self::Or,
        Self::Pow,
        Self::Sub,
        Self::Xor,
    ];

    /// Whether it tells of two numbers how one is to the other: Bool, whatever they are.
    pub const fn compares(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::Greater
                | Self::GreaterEqual
                | Self::Less
                | Self::LessEqual
                | Self::NotEqual
        )
    }

    /// Whether it is of Bool alone.
    pub const fn is_logical(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Xor)
    }
}

/// What is taken of many numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Reduction {
    /// The index of the first largest: I64.
    ArgMax,
    /// The index of the first smallest: I64.
    ArgMin,
    /// The largest.
    Max,
    /// The mean of the squares.
    MeanOfSquares,
    /// The smallest.
    Min,
    /// The product.
    Prod,
    /// The sum.
    Sum,
}
