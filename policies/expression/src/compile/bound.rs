//! Upper bounds that grow with the size of the elements that macros are at.

/// `constant + Σ slots[s] * (size of the element of the macro s)`, all of it 0 or more.
///
/// That a macro's elements together are no larger than what they are elements of makes such a
/// bound much tighter than one that takes each element for as large as all of them: reading each of
/// them once costs their sum. Infinite where there is no bound.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound {
    constant: f64,
    slots: Vec<f64>,
}

impl Bound {
    pub(super) const ZERO: Bound = Bound { constant: 0.0, slots: Vec::new() };

    pub(super) fn constant(constant: f64) -> Self {
        Self { constant, slots: Vec::new() }
    }

    pub(super) fn unbounded() -> Self {
        Self::constant(f64::INFINITY)
    }

    /// The size of the element of macro `slot`.
    pub(super) fn slot(slot: usize) -> Self {
        let mut slots = vec![0.0; slot];
        slots.push(1.0);
        Self { constant: 0.0, slots }
    }

    pub(super) fn plus(&self, other: &Bound) -> Self {
        self.merge(other, |a, b| a + b)
    }

    /// At least the larger of both.
    pub(super) fn or(&self, other: &Bound) -> Self {
        self.merge(other, f64::max)
    }

    pub(super) fn times(&self, factor: f64) -> Self {
        let slots = self.slots.iter().map(|each| product(*each, factor)).collect();
        Self { constant: product(self.constant, factor), slots }
    }

    /// At least the product of both, where the size of each element is at most its of `largest`.
    pub(super) fn product(&self, other: &Bound, largest: &[f64]) -> Self {
        if self.slots.iter().all(|each| *each == 0.0) {
            return other.times(self.constant);
        }
        self.times(other.at_most(largest))
    }

    /// The smaller of both, where each element is as large as it can be.
    pub(super) fn smaller<'b>(&'b self, other: &'b Bound, largest: &[f64]) -> &'b Self {
        if self.at_most(largest) <= other.at_most(largest) { self } else { other }
    }

    /// The bound where each element is as large as it can be.
    pub(super) fn at_most(&self, largest: &[f64]) -> f64 {
        let slots = self.slots.iter().zip(largest);
        slots.map(|(each, size)| product(*each, *size)).sum::<f64>() + self.constant
    }

    /// What remains without the macro `slot`, and what is multiplied with the size of its element.
    pub(super) fn split(&self, slot: usize) -> (Self, f64) {
        let mut rest = self.clone();
        let each = rest.slots.get_mut(slot).map_or(0.0, std::mem::take);
        (rest, each)
    }

    fn merge(&self, other: &Bound, by: impl Fn(f64, f64) -> f64) -> Self {
        let at = |slots: &[f64], slot: usize| slots.get(slot).copied().unwrap_or(0.0);
        let length = self.slots.len().max(other.slots.len());
        let slots = (0..length).map(|slot| by(at(&self.slots, slot), at(&other.slots, slot)));
        Self { constant: by(self.constant, other.constant), slots: slots.collect() }
    }
}

/// Nothing is nothing, however often.
fn product(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_add_and_multiply() {
        let element = Bound::slot(1).times(3.0).plus(&Bound::constant(5.0));
        assert_eq!(element.at_most(&[100.0, 10.0]), 35.0);
        assert_eq!(element.or(&Bound::constant(7.0)).at_most(&[0.0, 10.0]), 37.0);
        assert_eq!(
            element.product(&Bound::slot(0), &[100.0, 10.0]).at_most(&[100.0, 10.0]),
            3500.0
        );
        assert_eq!(element.split(1), (Bound { constant: 5.0, slots: vec![0.0, 0.0] }, 3.0));
        assert_eq!(element.split(7).1, 0.0);
    }

    #[test]
    fn nothing_times_anything_is_nothing() {
        assert_eq!(Bound::unbounded().times(0.0).at_most(&[]), 0.0);
        assert_eq!(Bound::slot(0).at_most(&[f64::INFINITY]), f64::INFINITY);
        assert_eq!(Bound::ZERO.at_most(&[f64::INFINITY]), 0.0);
    }
}
