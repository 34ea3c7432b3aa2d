//! What dimensions come to whatever the batch is: polynomials over symbols.

use std::collections::HashMap;

use super::{
    ArchivedPlan,
    dimension::{ArchivedDimension, ArchivedTerm},
};

/// The atom that stands for the batch. Every other symbol has its own, and so has every expression
/// that is no polynomial.
const BATCH: u32 = 0;
/// Dimensions that come to more than this are taken for unknown, so that no file makes them many.
const MAX_TERMS: usize = 16;
const MAX_DEGREE: usize = 16;

/// A sum of products of atoms, each with a factor that is not 0, sorted. Equal ones have equal values
/// for all symbols.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Extent(Vec<(Vec<u32>, i64)>);

impl Extent {
    pub(super) fn number(number: i64) -> Self {
        Self(if number == 0 { vec![] } else { vec![(vec![], number)] })
    }

    fn atom(atom: u32) -> Self {
        Self(vec![(vec![atom], 1)])
    }

    /// Its value, where that is always the same.
    pub(super) fn fixed(&self) -> Option<i64> {
        match self.0.as_slice() {
            [] => Some(0),
            [(atoms, factor)] if atoms.is_empty() => Some(*factor),
            _ => None,
        }
    }

    pub(super) fn is_one(&self) -> bool {
        self.fixed() == Some(1)
    }

    pub(super) fn add(&self, other: &Self) -> Option<Self> {
        let mut sum = self.clone();
        for (atoms, factor) in &other.0 {
            sum.push(atoms.clone(), *factor)?;
        }
        Some(sum)
    }

    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        let mut product = Self::default();
        for (a, factor) in &self.0 {
            for (b, other) in &other.0 {
                let mut atoms: Vec<u32> = a.iter().chain(b).copied().collect();
                atoms.sort_unstable();
                product.push(atoms, factor.checked_mul(*other)?)?;
            }
        }
        Some(product)
    }

    /// What it is divided by a number, where that leaves no rest whatever the symbols are.
    pub(super) fn over(&self, number: i64) -> Option<Self> {
        let over = |(atoms, factor): &(Vec<u32>, i64)| {
            let whole = number > 0 && factor % number == 0;
            whole.then(|| (atoms.clone(), factor / number))
        };
        self.0.iter().map(over).collect::<Option<Vec<_>>>().map(Self)
    }

    fn push(&mut self, atoms: Vec<u32>, factor: i64) -> Option<()> {
        match self.0.binary_search_by(|it| it.0.cmp(&atoms)) {
            Ok(at) => {
                let entry = self.0.get_mut(at)?;
                entry.1 = entry.1.checked_add(factor)?;
                if entry.1 == 0 {
                    self.0.remove(at);
                }
            }
            Err(at) => self.0.insert(at, (atoms, factor)),
        }
        let is_short = self.0.len() <= MAX_TERMS;
        (is_short && self.0.iter().all(|it| it.0.len() <= MAX_DEGREE)).then_some(())
    }
}

/// The dimensions of a plan.
#[derive(Default)]
pub(super) struct Extents {
    symbols: Vec<u32>,
    /// Expressions that are no polynomials.
    opaque: HashMap<(char, Extent, Extent), u32>,
    /// Whether each atom depends on the batch.
    varies: Vec<bool>,
    dimensions: Vec<Option<Extent>>,
}

impl Extents {
    /// Reads every dimension of `plan`. The first dimension of any input is the batch.
    pub(super) fn of(plan: &ArchivedPlan) -> Self {
        let mut extents = Self { varies: vec![true], ..Self::default() };
        for symbol in plan.symbols.iter() {
            let atom = if symbol.axis.to_native() == 0 { BATCH } else { extents.new_atom(false) };
            extents.symbols.push(atom);
        }
        for dimension in plan.dimensions.iter() {
            let extent = extents.read(dimension);
            extents.dimensions.push(extent);
        }
        extents
    }

    pub(super) fn dimension(&self, at: u32) -> Option<&Extent> {
        self.dimensions.get(at as usize)?.as_ref()
    }

    /// Whether it is the same for every batch.
    pub(super) fn is_free(&self, extent: &Extent) -> bool {
        let varies = |atom: &u32| self.varies.get(*atom as usize).copied().unwrap_or(true);
        extent.0.iter().all(|(atoms, _)| !atoms.iter().any(varies))
    }

    /// How many there are for each row of the batch, where it is a multiple of the batch.
    pub(super) fn per_row(&self, extent: &Extent) -> Option<Extent> {
        let without = |(atoms, factor): &(Vec<u32>, i64)| {
            // The batch is the least of all atoms, and so the first.
            let (first, rest) = atoms.split_first()?;
            (*first == BATCH).then(|| (rest.to_vec(), *factor))
        };
        let rest = Extent(extent.0.iter().map(without).collect::<Option<Vec<_>>>()?);
        (!rest.0.is_empty() && self.is_free(&rest)).then_some(rest)
    }

    fn new_atom(&mut self, varies: bool) -> u32 {
        self.varies.push(varies);
        self.varies.len() as u32 - 1
    }

    fn read(&mut self, dimension: &ArchivedDimension) -> Option<Extent> {
        let mut stack: Vec<Extent> = vec![];
        for term in dimension.terms.iter() {
            let extent = match term {
                ArchivedTerm::Number(number) => Extent::number(number.to_native()),
                ArchivedTerm::Symbol(symbol) => {
                    Extent::atom(*self.symbols.get(symbol.to_native() as usize)?)
                }
                operator => {
                    let (right, left) = (stack.pop()?, stack.pop()?);
                    match operator {
                        ArchivedTerm::Add => left.add(&right)?,
                        ArchivedTerm::Mul => left.times(&right)?,
                        ArchivedTerm::Div => {
                            let whole = right.fixed().and_then(|number| left.over(number));
                            whole.unwrap_or_else(|| self.opaque('/', left, right))
                        }
                        ArchivedTerm::Min => self.opaque('<', left, right),
                        _ => self.opaque('>', left, right),
                    }
                }
            };
            stack.push(extent);
        }
        let extent = stack.pop()?;
        stack.is_empty().then_some(extent)
    }

    fn opaque(&mut self, operator: char, left: Extent, right: Extent) -> Extent {
        let varies = !self.is_free(&left) || !self.is_free(&right);
        let key = (operator, left, right);
        if let Some(atom) = self.opaque.get(&key) {
            return Extent::atom(*atom);
        }
        let atom = self.new_atom(varies);
        self.opaque.insert(key, atom);
        Extent::atom(atom)
    }
}
