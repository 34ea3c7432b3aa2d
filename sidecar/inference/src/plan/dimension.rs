//! Dimensions: numbers, or expressions over a run's symbols.

use rkyv::{Archive, Deserialize, Serialize};

/// A dimension in postfix notation: a number stands for itself, an operator takes the two before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub struct Dimension {
    /// The terms.
    pub terms: Vec<Term>,
}

/// A term of a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum Term {
    /// A number.
    Number(i64),
    /// The value of a symbol.
    Symbol(u32),
    /// Sum.
    Add,
    /// Product.
    Mul,
    /// Quotient, rounded down.
    Div,
    /// The smaller.
    Min,
    /// The larger.
    Max,
}

const MAX_DEPTH: usize = 32;

impl Dimension {
    /// A fixed one.
    pub fn fixed(number: i64) -> Self {
        Self { terms: vec![Term::Number(number)] }
    }

    /// The number that it is, where it is one by itself.
    pub(crate) fn number(&self) -> Option<u64> {
        match self.terms.as_slice() {
            [Term::Number(number)] => u64::try_from(*number).ok(),
            _ => None,
        }
    }
}

impl ArchivedDimension {
    /// Its value, given those of the symbols; none where it is no number below 2^48, or the terms
    /// are no expression.
    pub fn evaluate(&self, symbols: &[i64]) -> Option<usize> {
        let mut stack = [0_i64; MAX_DEPTH];
        let mut depth = 0;
        for term in self.terms.iter() {
            let value = match term {
                ArchivedTerm::Number(number) => number.to_native(),
                ArchivedTerm::Symbol(symbol) => {
                    *symbols.get(usize::try_from(symbol.to_native()).ok()?)?
                }
                operator => {
                    depth = usize::checked_sub(depth, 2)?;
                    let (left, right) = (*stack.get(depth)?, *stack.get(depth + 1)?);
                    match operator {
                        ArchivedTerm::Add => left.checked_add(right)?,
                        ArchivedTerm::Mul => left.checked_mul(right)?,
                        ArchivedTerm::Div => left.checked_div_euclid(right)?,
                        ArchivedTerm::Min => left.min(right),
                        _ => left.max(right),
                    }
                }
            };
            *stack.get_mut(depth)? = value;
            depth += 1;
        }
        let whole = *stack.first().filter(|_| depth == 1)?;
        usize::try_from(whole).ok().filter(|it| *it < 1 << 48)
    }
}
