//! Which of several devices is chosen, by what each was measured to take.

use std::time::Duration;

/// Less than so many times the fastest is as fast: what lies nearer differs between two starts.
const AS_FAST: f64 = 1.1;

/// What a device took for requests, each with the way there and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Speed {
    /// Many rows by a matrix: bound by how fast it computes.
    pub(super) many: Duration,
    /// One row by the same matrix: bound by how fast it reads memory, and how soon it begins.
    pub(super) one: Duration,
}

impl Speed {
    /// Less is faster. Half of the time for either is worth the same, however long it takes.
    fn cost(self) -> f64 {
        self.many.as_secs_f64() * self.one.as_secs_f64()
    }
}

/// A device that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// What its kind is worth where speed does not tell: less is better.
    pub(super) rank: u8,
    /// None where it failed.
    pub(super) speed: Option<Speed>,
}

/// The place of the fastest; of those that are as fast, the first of the best rank. None where all
/// failed.
pub(super) fn fastest(candidates: &[Candidate]) -> Option<usize> {
    let costs = || candidates.iter().filter_map(|it| it.speed).map(Speed::cost);
    let least = costs().min_by(f64::total_cmp)?;
    let most = least * AS_FAST * AS_FAST;
    let is_as_fast = |it: &Candidate| it.speed.is_some_and(|speed| speed.cost() <= most);
    let fast = candidates.iter().enumerate().filter(|(_, it)| is_as_fast(it));
    fast.min_by_key(|(at, it)| (it.rank, *at)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(rank: u8, many: u64, one: u64) -> Candidate {
        let [many, one] = [many, one].map(Duration::from_micros);
        Candidate { rank, speed: Some(Speed { many, one }) }
    }

    const FAILED: Candidate = Candidate { rank: 0, speed: None };

    #[test]
    fn the_fastest_is_chosen_whatever_its_kind() {
        assert_eq!(fastest(&[candidate(0, 900, 90), candidate(1, 300, 60)]), Some(1));
        assert_eq!(fastest(&[candidate(2, 300, 60), candidate(0, 900, 90)]), Some(0));
    }

    #[test]
    fn one_that_fails_is_passed_over_and_where_all_do_there_is_none() {
        assert_eq!(fastest(&[FAILED, candidate(3, 9000, 900)]), Some(1));
        assert_eq!(fastest(&[FAILED, FAILED]), None);
        assert_eq!(fastest(&[]), None);
    }

    #[test]
    fn of_those_that_are_as_fast_the_kind_decides_and_then_the_order() {
        assert_eq!(fastest(&[candidate(1, 300, 60), candidate(0, 310, 63)]), Some(1));
        assert_eq!(fastest(&[candidate(0, 300, 60), candidate(0, 300, 60)]), Some(0));
    }

    #[test]
    fn neither_request_counts_for_more_by_taking_longer() {
        let (computes, begins) = (candidate(0, 1000, 400), candidate(0, 2000, 100));
        assert_eq!(fastest(&[computes, begins]), Some(1));
    }

    proptest! {
        #[test]
        fn no_other_is_faster_by_more_than_what_counts_as_equal(
            measured in prop::collection::vec(
                (0..4_u8, prop::option::of((0..u64::MAX, 0..u64::MAX))), 0..9),
        ) {
            let candidates: Vec<Candidate> = measured
                .into_iter()
                .map(|(rank, speed)| {
                    let speed = speed.map(|(many, one)| {
                        let [many, one] = [many, one].map(Duration::from_nanos);
                        Speed { many, one }
                    });
                    Candidate { rank, speed }
                })
                .collect();
            let chosen = fastest(&candidates);
            prop_assert_eq!(chosen.is_some(), candidates.iter().any(|it| it.speed.is_some()));
            if let Some(chosen) = chosen {
                let cost = candidates[chosen].speed.unwrap().cost();
                for other in candidates.iter().filter_map(|it| it.speed) {
                    prop_assert!(cost <= other.cost() * AS_FAST * AS_FAST);
                }
            }
        }
    }
}
