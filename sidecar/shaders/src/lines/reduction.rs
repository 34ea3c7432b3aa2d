//! One number out of many, as text.

use inference::plan::ArchivedReduction;

use crate::operand::Kind;

/// A reduction, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reduction {
    ArgMax,
    ArgMin,
    Max,
    MeanOfSquares,
    Min,
    Prod,
    Sum,
    MaxOfIntegers,
    MinOfIntegers,
    ProdOfIntegers,
    SumOfIntegers,
}

/// How numbers are joined: expressions over `a` and `b` of type `joined`, and `x`, a number that is
/// read, at place `i`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joining {
    pub(super) joined: &'static str,
    pub(super) start: &'static str,
    pub(super) take: &'static str,
    pub(super) join: &'static str,
    pub(super) calls: &'static [&'static str],
}

pub(super) const SUM: Joining =
    Joining { joined: "f32", start: "0.0", take: "a + x", join: "a + b", calls: &[] };
pub(super) const SUM_OF_SQUARES: Joining = Joining { take: "a + x * x", ..SUM };
pub(super) const MAX: Joining = Joining {
    joined: "f32",
    start: "-infinity()",
    take: "f_max(a, x)",
    join: "f_max(a, b)",
    calls: &["f_max", "infinity"],
};

impl Reduction {
    pub(super) const fn of(op: &ArchivedReduction, from: Kind, to: Kind) -> Option<Self> {
        use ArchivedReduction as Is;
        Some(match (from, to, op) {
            (Kind::F32, Kind::I64, Is::ArgMax) => Self::ArgMax,
            (Kind::F32, Kind::I64, Is::ArgMin) => Self::ArgMin,
            (Kind::F32, Kind::F32, Is::Max) => Self::Max,
            (Kind::F32, Kind::F32, Is::Min) => Self::Min,
            (Kind::F32, Kind::F32, Is::Prod) => Self::Prod,
            (Kind::F32, Kind::F32, Is::Sum) => Self::Sum,
            (Kind::F32, Kind::F32, Is::MeanOfSquares) => Self::MeanOfSquares,
            (Kind::I64, Kind::I64, Is::Max) => Self::MaxOfIntegers,
            (Kind::I64, Kind::I64, Is::Min) => Self::MinOfIntegers,
            (Kind::I64, Kind::I64, Is::Prod) => Self::ProdOfIntegers,
            (Kind::I64, Kind::I64, Is::Sum) => Self::SumOfIntegers,
            _ => return None,
        })
    }

    /// What is read, and written.
    pub(super) const fn kinds(self) -> [Kind; 2] {
        match self {
            Self::ArgMax | Self::ArgMin => [Kind::F32, Kind::I64],
            Self::Max | Self::MeanOfSquares | Self::Min | Self::Prod | Self::Sum => {
                [Kind::F32, Kind::F32]
            }
            _ => [Kind::I64, Kind::I64],
        }
    }

    /// The result, of `all` that was joined.
    pub(super) const fn result(self) -> &'static str {
        match self {
            // Where the first number is none, no other is better.
            Self::ArgMax | Self::ArgMin => {
                "vec2<u32>(select(all.y, 0u, along == 0u || is_nan(number(at))), 0u)"
            }
            Self::MeanOfSquares => "all / f32(along)",
            _ => "all",
        }
    }

    pub(super) const fn joining(self) -> Joining {
        const INTEGERS: Joining =
            Joining { joined: "vec2<u32>", start: "", take: "", join: "", calls: &[] };
        // A number's bits and its place; the place is none where there was no number yet.
        const PLACE: &str = "vec2<u32>(0u, 0xffffffffu)";
        match self {
            Self::Sum => SUM,
            Self::MeanOfSquares => SUM_OF_SQUARES,
            Self::Prod => Joining { start: "1.0", take: "a * x", join: "a * b", ..SUM },
            Self::Max => MAX,
            Self::Min => Joining {
                start: "infinity()",
                take: "f_min(a, x)",
                join: "f_min(a, b)",
                calls: &["f_min", "infinity"],
                ..MAX
            },
            Self::ArgMax => Joining {
                start: PLACE,
                take: "larger(a, vec2<u32>(bitcast<u32>(x), i))",
                join: "larger(a, b)",
                calls: &["larger", "is_nan"],
                ..INTEGERS
            },
            Self::ArgMin => Joining {
                start: PLACE,
                take: "smaller(a, vec2<u32>(bitcast<u32>(x), i))",
                join: "smaller(a, b)",
                calls: &["smaller", "is_nan"],
                ..INTEGERS
            },
            Self::MaxOfIntegers => Joining {
                start: "vec2<u32>(0u, 0x80000000u)",
                take: "i64_max(a, x)",
                join: "i64_max(a, b)",
                calls: &["i64_max"],
                ..INTEGERS
            },
            Self::MinOfIntegers => Joining {
                start: "vec2<u32>(0xffffffffu, 0x7fffffffu)",
                take: "i64_min(a, x)",
                join: "i64_min(a, b)",
                calls: &["i64_min"],
                ..INTEGERS
            },
            Self::ProdOfIntegers => Joining {
                start: "vec2<u32>(1u, 0u)",
                take: "i64_mul(a, x)",
                join: "i64_mul(a, b)",
                calls: &["i64_mul"],
                ..INTEGERS
            },
            Self::SumOfIntegers => Joining {
                start: "vec2<u32>(0u, 0u)",
                take: "i64_add(a, x)",
                join: "i64_add(a, b)",
                calls: &["i64_add"],
                ..INTEGERS
            },
        }
    }
}
