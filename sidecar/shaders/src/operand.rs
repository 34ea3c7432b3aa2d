//! The operands of a step, resolved: what they are and where.

use inference::plan::{ArchivedKind, ArchivedPlace, Major};

use crate::{FAULT_WORDS, Part, Run, Unsupported, Weight};

/// What the elements of an operand are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Bool,
    I32,
    I64,
    F32,
}

impl Kind {
    pub(crate) fn of(kind: ArchivedKind) -> Result<Self, Unsupported> {
        Ok(match kind {
            ArchivedKind::Bool => Self::Bool,
            ArchivedKind::I32 => Self::I32,
            ArchivedKind::I64 => Self::I64,
            ArchivedKind::F32 => Self::F32,
            ArchivedKind::F64 => return Err(Unsupported::new("devices have no 64-bit floats")),
            ArchivedKind::Text => return Err(Unsupported::new("texts are not on devices")),
        })
    }

    /// Words of an element in the arena.
    pub(crate) const fn words(self) -> usize {
        match self {
            Self::I64 => 2,
            Self::Bool | Self::I32 | Self::F32 => 1,
        }
    }
}

/// Where the elements of an operand are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// From this word of the arena on.
    Arena(u32),
    /// In the slab.
    Fixed(Fixed),
}

/// The word of the slab from which a weight lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fixed {
    /// The same for all rows.
    Same(u64),
    /// Another one for each part that has rows.
    ByPart(Vec<u64>),
}

impl Fixed {
    /// All of them.
    pub(crate) fn starts(&self) -> &[u64] {
        match self {
            Self::Same(start) => std::slice::from_ref(start),
            Self::ByPart(starts) => starts,
        }
    }
}

/// An operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operand {
    pub(crate) kind: Kind,
    pub(crate) dims: Vec<usize>,
    /// The same dimensions, as the plan has them.
    pub(crate) symbols: Vec<u32>,
    pub(crate) at: At,
    /// How many elements it has.
    pub(crate) count: usize,
}

impl Operand {
    /// The words of the slab that it takes from each of its starts on.
    pub(crate) fn fixed_words(&self) -> u64 {
        match self.kind {
            Kind::Bool => self.count.div_ceil(4) as u64,
            kind => (self.count * kind.words()) as u64,
        }
    }

    /// The numbers of elements before a range of dimensions, along it, and after it.
    pub(crate) fn around(&self, axis: usize, axes: usize) -> Option<[usize; 3]> {
        let end = axis.checked_add(axes)?;
        // They are factors of the count, or that is 0 and the others are small enough to be checked.
        let product = |part: &[usize]| part.iter().try_fold(1_usize, |a, b| a.checked_mul(*b));
        let (before, after) = (self.dims.get(..axis)?, self.dims.get(end..)?);
        Some([product(before)?, product(self.dims.get(axis..end)?)?, product(after)?])
    }
}

impl<'a> Run<'a> {
    /// The rows of the batch.
    pub(crate) fn batch(&self) -> Result<usize, Unsupported> {
        let rows = self.parts.iter().try_fold(0_u32, |sum, part| sum.checked_add(part.rows));
        rows.map(|it| it as usize).ok_or(Unsupported::new("more rows than a device counts"))
    }

    /// The parts that have rows, or the only one.
    pub(crate) fn live_parts(&self) -> impl Iterator<Item = &'a Part<'a>> + use<'a> {
        let is_alone = self.parts.len() == 1;
        self.parts.iter().filter(move |it| is_alone || it.rows > 0)
    }

    pub(crate) fn dimension(&self, at: u32) -> Result<usize, Unsupported> {
        let found = self.dimensions.get(at as usize).copied();
        found.ok_or(Unsupported::new("it refers to a dimension that there is not"))
    }

    /// Whether a dimension is 1 whatever the sizes are.
    pub(crate) fn is_always_one(&self, at: u32) -> bool {
        // Without symbols, only numbers come to something.
        self.plan.dimensions.get(at as usize).is_some_and(|it| it.evaluate(&[]) == Some(1))
    }

    /// A value where it is read or written.
    pub(crate) fn operand(&self, value: u32) -> Result<Operand, Unsupported> {
        let none = || Unsupported::new("it refers to a value that there is not");
        let row = self.plan.value(value).ok_or_else(none)?;
        let kind = Kind::of(row.kind)?;
        let symbols: Vec<u32> = row.shape.iter().map(|at| at.to_native()).collect();
        let dims = symbols.iter().map(|at| self.dimension(*at)).collect::<Result<Vec<_>, _>>()?;
        let too_large = || Unsupported::new("a tensor that a device cannot address");
        let count = dims.iter().try_fold(1_usize, |count, dim| count.checked_mul(*dim));
        let count = count.filter(|it| *it < 1 << 30).ok_or_else(too_large)?;
        let mut operand = Operand { kind, dims, symbols, at: At::Arena(0), count };
        operand.at = match &row.place {
            ArchivedPlace::Constant(byte) => {
                let words = operand.fixed_words();
                At::Fixed(self.fixed(Weight::Constant(byte.to_native()), words)?)
            }
            ArchivedPlace::Input(_) | ArchivedPlace::Slot(_) => {
                let start = *self.places.get(value as usize).ok_or_else(none)?;
                let words = count * kind.words();
                let end = (start as usize).checked_add(words).ok_or_else(too_large)?;
                if start < FAULT_WORDS || end > self.arena_words as usize {
                    return Err(Unsupported::new("a value that does not lie in the arena"));
                }
                At::Arena(start)
            }
        };
        Ok(operand)
    }

    /// Where a weight of so many words lies for each part.
    pub(crate) fn fixed(&self, weight: Weight, words: u64) -> Result<Fixed, Unsupported> {
        let outside = || Unsupported::new("a weight that does not lie in its slot");
        let start = match weight {
            Weight::Matrix(at) => self.weights.matrices.get(at as usize).copied(),
            Weight::Constant(byte) => self.weights.constants.checked_add(byte / 4),
        };
        let start = start.ok_or_else(outside)?;
        if start.checked_add(words).is_none_or(|end| end > self.weights.slot_words) {
            return Err(outside());
        }
        let mut starts = vec![];
        for part in self.live_parts() {
            let own = part.replaced.iter().find(|it| it.weight == weight).map(|it| it.word);
            let word = own.or(part.slot.checked_add(start)).ok_or_else(outside)?;
            if word.checked_add(words).is_none_or(|end| end > self.slab_words) {
                return Err(outside());
            }
            starts.push(word);
        }
        let first = *starts.first().ok_or(Unsupported::new("a run without a model"))?;
        if starts.iter().all(|it| *it == first) {
            return Ok(Fixed::Same(first));
        }
        Ok(Fixed::ByPart(starts))
    }

    /// How many elements of `output` each row of the batch has, where its rows must be told apart.
    pub(crate) fn row_elements(&self, value: u32, output: &Operand) -> Result<usize, Unsupported> {
        let batch = self.batch()?;
        if self.rows.of(value) != Major::Batch || batch == 0 || !output.count.is_multiple_of(batch)
        {
            return Err(Unsupported::new("weights of several models in what has no rows"));
        }
        Ok(output.count / batch)
    }

    /// For each row of the batch, what is said of its part.
    pub(crate) fn by_row<T: Copy>(&self, of_parts: &[T]) -> Vec<T> {
        let rows = self.live_parts().zip(of_parts);
        rows.flat_map(|(part, it)| std::iter::repeat_n(*it, part.rows as usize)).collect()
    }
}
