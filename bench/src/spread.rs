//! A number that was measured several times.

use serde::Serialize;

/// The median of the rounds, with the quartiles around it and the extremes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// A quarter of the rounds lies below.
    pub(crate) lower: f64,
    /// A quarter of the rounds lies above.
    pub(crate) upper: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` where nothing was measured.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let at = |share| between(&sorted, share).unwrap_or(min);
        Some(Self { median: at(0.5), lower: at(0.25), upper: at(0.75), min, max })
    }

    /// The median and the quartiles, with so many digits after the point.
    pub(crate) fn text(&self, digits: usize) -> String {
        let Self { median, lower, upper, .. } = self;
        format!("{median:.digits$} ({lower:.digits$} to {upper:.digits$})")
    }
}

/// The value at `share` of the way through `sorted`, on the line between its neighbours.
fn between(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)? as f64);
    let (below, above) =
        (*sorted.get(place.floor() as usize)?, *sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

/// The value below which `share` of `sorted` lies, by the nearest rank.
pub(crate) fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        let odd = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!((odd.lower, odd.upper), (1.5, 2.5));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([7.0]).unwrap().median, 7.0);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&values, 0.5), Some(50));
        assert_eq!(quantile(&values, 0.99), Some(99));
        assert_eq!(quantile(&values, 1.0), Some(100));
        assert_eq!(quantile(&[5], 0.01), Some(5));
        assert_eq!(quantile::<u32>(&[], 0.5), None);
    }
}
