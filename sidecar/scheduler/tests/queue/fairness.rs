//! Who gets how much, and who waits for whom.

use std::time::Duration;

use proptest::prelude::*;
use scheduler::queue::{Priority, Share};

use crate::{
    MS,
    world::{World, share, tenant},
};

/// What kinds of execution cost, of which each request of a test has one.
const KINDS: [(&str, Duration); 4] = [
    ("tiny", Duration::from_micros(200)),
    ("small", MS),
    ("medium", Duration::from_millis(4)),
    ("large", Duration::from_millis(15)),
];
const LARGEST: Duration = Duration::from_millis(15);

fn ask(world: &mut World, of: usize, kind: usize) -> usize {
    let (kind, cost) = KINDS[kind % KINDS.len()];
    world.ask(of, kind, cost)
}

#[test]
fn a_lone_tenant_gets_all_processors() {
    let mut world = World::new(4).shares(&[share(1)]);
    for _ in 0..4 {
        world.ask(0, "m", MS);
    }
    world.dispatch();
    assert_eq!(world.begun.len(), 4);
}

#[test]
fn what_was_measured_and_not_how_many_requests_there_are_is_shared() {
    let mut world = World::new(1).shares(&[share(1), share(1)]);
    for _ in 0..400 {
        world.ask(0, "tiny", MS / 10);
        world.ask(1, "large", 10 * MS);
    }
    while world.now < Duration::from_millis(500) {
        world.step();
    }
    let (tiny, large) = (world.served[&0], world.served[&1]);
    // All of the tiny ones are less than half: they are served, and the rest is for the large.
    assert!(tiny >= MS * 39, "{tiny:?} beside {large:?}");
}

#[test]
fn one_that_was_away_takes_no_more_than_its_part_when_it_is_back() {
    let mut world = World::new(1).shares(&[share(1), share(1)]);
    for _ in 0..100 {
        world.ask(0, "m", MS);
    }
    for _ in 0..50 {
        world.step();
    }
    for _ in 0..100 {
        world.ask(1, "m", MS);
    }
    let before = world.served[&0];
    for _ in 0..20 {
        world.step();
    }
    let (stayed, came) = (world.served[&0] - before, world.served[&1]);
    assert!(came.abs_diff(stayed) <= 2 * MS, "{came:?} beside {stayed:?}");
}

#[test]
fn a_tenant_that_had_the_node_to_itself_owes_nobody_for_it() {
    let mut world = World::new(1).shares(&[share(1), share(1)]);
    for _ in 0..1000 {
        world.ask(0, "m", MS);
    }
    world.run();
    for of in [0, 1].repeat(10) {
        world.ask(of, "m", MS);
    }
    let before = world.served[&0];
    for _ in 0..10 {
        world.step();
    }
    let (first, second) = (world.served[&0] - before, world.served[&1]);
    assert!(first.abs_diff(second) <= 2 * MS, "{first:?} beside {second:?}");
}

#[test]
fn a_priority_goes_ahead_and_gets_no_more() {
    let high = Share { priority: Priority::High, ..share(1) };
    let mut world = World::new(1).shares(&[share(1), high]);
    for _ in 0..2000 {
        world.ask(0, "m", MS);
    }
    for _ in 0..100 {
        world.step();
    }
    let urgent = world.ask(1, "m", MS);
    world.step();
    world.step();
    assert!(world.executed().contains(&urgent), "it did not go ahead");
    for _ in 0..2000 {
        world.ask(1, "m", MS);
    }
    let (before, others) = (world.served[&0], world.served[&1]);
    for _ in 0..1000 {
        world.step();
    }
    let (normal, high) = (world.served[&0] - before, world.served[&1] - others);
    let ahead = Priority::High.warp() + 2 * MS;
    assert!(high.saturating_sub(normal) <= ahead, "{high:?} beside {normal:?}");
    assert!(normal >= 400 * MS, "{normal:?}: it is starved");
}

#[test]
fn another_share_holds_from_the_next_request_on() {
    let mut world = World::new(1).shares(&[share(1), share(1)]);
    for of in [0, 1].repeat(2000) {
        world.ask(of, "m", MS);
    }
    for _ in 0..100 {
        world.step();
    }
    world.queue.set_share(world.now, &tenant(1), share(9));
    let (first, second) = (world.served[&0], world.served[&1]);
    for _ in 0..1000 {
        world.step();
    }
    let (first, second) = (world.served[&0] - first, world.served[&1] - second);
    assert!(first.abs_diff(100 * MS) <= 3 * MS, "{first:?} beside {second:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_processor_is_idle_while_a_request_may_run(
        processors in 1..5_usize,
        caps in prop::collection::vec(1..4_u32, 1..5),
        arrivals in prop::collection::vec((0..5_usize, 0..4_usize, 0..6_u64), 1..120),
    ) {
        let shares: Vec<_> =
            caps.iter().map(|cap| Share { concurrency: *cap, ..share(1) }).collect();
        let mut world = World::new(processors).shares(&shares);
        for (of, kind, steps) in arrivals {
            ask(&mut world, of % shares.len(), kind);
            world.dispatch();
            for (of, share) in shares.iter().enumerate() {
                let running = world.running_of(of);
                prop_assert!(running <= share.concurrency as usize, "{running} of {share:?}");
                let may_run = running < share.concurrency as usize;
                let waits = world.queue.waiting_of(&tenant(of)) > 0;
                prop_assert!(world.idle() == 0 || !may_run || !waits, "org_{of} waits");
            }
            for _ in 0..steps {
                world.step();
            }
        }
        world.run();
        prop_assert_eq!((world.queue.waiting(), world.queue.running()), (0, 0));
    }

    /// The bound of start-time fair queueing on so many processors.
    #[test]
    fn backlogged_tenants_are_served_in_proportion_to_their_weights(
        processors in 1..4_usize,
        tenants in prop::collection::vec((1..8_u32, 0..4_usize), 2..6),
        steps in 50..300_usize,
    ) {
        let shares: Vec<_> = tenants.iter().map(|(weight, _)| share(*weight)).collect();
        let mut world = World::new(processors).shares(&shares);
        for _ in 0..steps + 10 {
            for (of, (_, kind)) in tenants.iter().enumerate() {
                ask(&mut world, of, *kind);
            }
        }
        for _ in 0..steps {
            world.step();
        }
        let parts: Vec<(f64, f64)> = tenants
            .iter()
            .enumerate()
            .map(|(of, (weight, _))| {
                let served = world.served.get(&of).copied().unwrap_or_default();
                (served.as_secs_f64() / f64::from(*weight), f64::from(*weight))
            })
            .collect();
        for (one, its_weight) in &parts {
            for (other, others_weight) in &parts {
                let most = (processors + 1) as f64 * LARGEST.as_secs_f64()
                    * (1.0 / its_weight + 1.0 / others_weight);
                prop_assert!((one - other).abs() <= most, "{:?} within {}", parts, most);
            }
        }
    }

    #[test]
    fn no_flood_starves_a_request(
        weight in 1..50_u32,
        high: bool,
        kind in 0..4_usize,
        victims in 1..20_usize,
        processors in 1..4_usize,
    ) {
        let priority = if high { Priority::High } else { Priority::Normal };
        let low = Share { priority: Priority::Low, ..share(1) };
        let flood = Share { weight, priority, ..share(weight) };
        let mut world = World::new(processors).shares(&[flood, low]);
        for _ in 0..500 {
            ask(&mut world, 0, kind);
        }
        for _ in 0..50 {
            world.step();
        }
        let before = world.served[&0];
        (0..victims).for_each(|_| _ = ask(&mut world, 1, 1));
        while world.served.get(&1).is_none_or(|served| *served < MS * victims as u32) {
            ask(&mut world, 0, kind);
            prop_assert!(world.step());
        }
        let meanwhile = world.served[&0] - before;
        let its_part = weight * (MS * victims as u32 + priority.warp());
        let most = its_part + (weight + 1) * (processors as u32 + 1) * 2 * LARGEST;
        prop_assert!(meanwhile <= most, "{:?} within {:?}", meanwhile, most);
    }

    #[test]
    fn every_request_is_executed_once_or_refused_once(
        arrivals in prop::collection::vec((0..4_usize, 0..4_usize, 0..3_u64, prop::option::of(0..60_u64)), 1..150),
    ) {
        let mut world = World::new(2).shares(&[share(1), share(2), share(3), share(4)]);
        let mut asked = vec![];
        for (of, kind, steps, deadline) in arrivals {
            let deadline = deadline.map(|ms| world.now + MS * ms as u32);
            let (kind, cost) = KINDS[kind];
            asked.push((world.ask_with(of, kind, cost, 1, None, deadline), deadline));
            for _ in 0..steps {
                world.step();
            }
        }
        world.run();
        let mut seen = world.executed();
        seen.extend(&world.refused);
        seen.sort_unstable();
        prop_assert_eq!(seen, asked.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        for begun in &world.begun {
            for (member, ..) in &begun.members {
                let deadline = asked.iter().find(|(number, _)| *number == member.number);
                let in_time = deadline.unwrap().1.is_none_or(|deadline| begun.at < deadline);
                prop_assert!(in_time, "{:?} began too late", member);
            }
        }
    }
}
