//! Requests that run as one.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use scheduler::queue::{Join, Lane, Next, Share};

use crate::{
    MS,
    world::{World, share},
};

const WAIT: Duration = Duration::from_millis(2);

fn join(max_rows: u64, wait: Duration) -> Option<Join> {
    Some(Join { max_rows, wait })
}

#[test]
fn what_waits_for_one_model_runs_as_one_whoever_it_is_of() {
    let mut world = World::new(1).shares(&[share(1), share(1), share(1)]);
    world.ask(0, "other", MS);
    world.dispatch();
    for of in [0, 1, 2, 1] {
        world.ask_with(of, "m", MS, 1, join(8, Duration::ZERO), None);
    }
    world.run();
    let sizes: Vec<_> = world.begun.iter().map(|begun| begun.members.len()).collect();
    assert_eq!(sizes, [1, 4]);
}

#[test]
fn a_lone_request_waits_for_company_no_longer_than_is_declared() {
    let mut world = World::new(1).shares(&[share(1)]);
    world.ask_with(0, "m", MS, 1, join(8, WAIT), None);
    world.dispatch();
    assert_eq!(world.begun.len(), 0);
    assert!(matches!(world.queue.next(world.now, Lane::Any), Next::NotBefore(at) if at == WAIT));
    world.run();
    assert_eq!(world.begun[0].at, WAIT);
    // Without a declared wait it does not wait.
    world.ask_with(0, "m", MS, 1, join(8, Duration::ZERO), None);
    let asked_at = world.now;
    world.dispatch();
    assert_eq!(world.begun[1].at, asked_at);
}

#[test]
fn a_batch_that_is_full_waits_no_longer() {
    let mut world = World::new(1).shares(&[share(1), share(1)]);
    world.ask_with(0, "m", MS, 3, join(4, WAIT), None);
    world.ask_with(1, "m", MS, 1, join(4, WAIT), None);
    world.dispatch();
    assert_eq!(world.begun.len(), 1);
    assert_eq!(world.begun[0].members.len(), 2);
    assert_eq!(world.begun[0].at, Duration::ZERO);
}

#[test]
fn each_tenant_is_charged_for_its_rows() {
    let mut world = World::new(1).shares(&[share(1), share(1)]);
    world.ask_with(0, "m", 8 * MS, 7, join(8, Duration::ZERO), None);
    world.ask_with(1, "m", 8 * MS, 1, join(8, Duration::ZERO), None);
    world.run();
    assert_eq!(world.begun.len(), 1);
    for of in [0, 1].repeat(20) {
        world.ask(of, "alone", MS);
    }
    // The queue was idle in between, so nobody is owed anything.
    for _ in 0..10 {
        world.step();
    }
    assert!((world.served[&0] - 7 * MS).abs_diff(world.served[&1] - MS) <= MS);
}

#[test]
fn a_tenant_in_a_batch_runs_one_execution_whatever_it_has_in_it() {
    let capped = Share { concurrency: 1, ..share(1) };
    let mut world = World::new(2).shares(&[capped]);
    for _ in 0..12 {
        world.ask_with(0, "m", MS, 1, join(8, Duration::ZERO), None);
    }
    world.dispatch();
    assert_eq!(world.begun.len(), 1);
    assert_eq!(world.begun[0].members.len(), 8);
    world.run();
    assert_eq!(world.begun.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_batch_is_of_one_kind_and_holds_no_more_rows_than_it_may(
        arrivals in prop::collection::vec(
            (0..4_usize, 0..3_usize, 1..12_u64, any::<bool>(), 0..3_u64, 0..4_u64), 1..150,
        ),
        max_rows in 1..20_u64,
        cap in 1..3_u32,
    ) {
        let kinds = ["a", "b", "c"];
        let shares: Vec<_> =
            (1..5).map(|weight| Share { concurrency: cap, ..share(weight) }).collect();
        let mut world = World::new(3).shares(&shares);
        let mut alone = BTreeSet::new();
        let mut asked = vec![];
        for (of, kind, rows, joins, wait, steps) in arrivals {
            let join = joins.then_some(Join { max_rows, wait: MS * wait as u32 });
            let number = world.ask_with(of, kinds[kind], MS, rows, join, None);
            if !joins {
                alone.insert(number);
            }
            asked.push(number);
            world.dispatch();
            for of in 0..4 {
                prop_assert!(world.running_of(of) <= cap as usize);
            }
            for _ in 0..steps {
                world.step();
            }
        }
        world.run();
        for begun in &world.begun {
            prop_assert_eq!(begun.kinds.len(), 1);
            let rows: u64 = begun.members.iter().map(|(_, rows, _)| rows).sum();
            prop_assert!(begun.members.len() == 1 || rows <= max_rows, "{:?}", begun);
            let is_alone = |number| alone.contains(number);
            let any_alone = begun.members.iter().any(|(member, ..)| is_alone(&member.number));
            prop_assert!(begun.members.len() == 1 || !any_alone, "{:?}", begun);
        }
        let mut executed = world.executed();
        executed.sort_unstable();
        prop_assert_eq!(executed, asked);
    }
}
