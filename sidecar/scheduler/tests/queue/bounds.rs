//! What may wait, and until when.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use proptest::prelude::*;
use scheduler::queue::{Join, Lane, Next, Queue, Refused, Request, Room, Share, Ticket};

use crate::{
    MS,
    world::{World, room, share, tenant},
};

fn request(of: usize, number: usize) -> Request<&'static str, usize> {
    sized(of, number, 0)
}

fn sized(of: usize, number: usize, bytes: u64) -> Request<&'static str, usize> {
    let (join, deadline) = (None, None);
    Request { tenant: tenant(of), kind: "m", rows: 1, bytes, join, deadline, payload: number }
}

#[test]
fn a_tenant_waits_with_as_many_requests_as_it_may() {
    let mut queue = Queue::new(room(100), 1);
    queue.set_share(Duration::ZERO, &tenant(0), Share { waiting: 2, ..share(1) });
    for number in 0..2 {
        queue.submit(Duration::ZERO, request(0, number)).unwrap();
    }
    let (number, refused) = queue.submit(Duration::ZERO, request(0, 2)).unwrap_err();
    assert_eq!((number, refused), (2, Refused::TenantFull { most: 2 }));
    assert!(queue.submit(Duration::ZERO, request(1, 3)).is_ok());
}

#[test]
fn one_that_fills_the_queue_makes_room_for_the_others() {
    let mut queue = Queue::new(room(4), 1);
    for number in 0..4 {
        queue.submit(Duration::ZERO, request(0, number)).unwrap();
    }
    let (_, refused) = queue.submit(Duration::ZERO, request(0, 4)).unwrap_err();
    assert_eq!(refused, Refused::Full { most: 4 });
    queue.submit(Duration::ZERO, request(1, 5)).unwrap();
    let pushed_out: Vec<_> = queue.take_refused().into_iter().map(|(number, _)| number).collect();
    assert_eq!(pushed_out, [3]);
    assert_eq!((queue.waiting_of(&tenant(0)), queue.waiting_of(&tenant(1))), (3, 1));
    queue.submit(Duration::ZERO, request(1, 6)).unwrap();
    // Both wait with as many now, so nobody goes for either.
    let (_, refused) = queue.submit(Duration::ZERO, request(1, 7)).unwrap_err();
    assert_eq!(refused, Refused::Full { most: 4 });
}

#[test]
fn one_that_waits_for_company_makes_room_too() {
    let mut queue = Queue::new(room(2), 1);
    let held =
        |number| Request { join: Some(Join { max_rows: 8, wait: MS }), ..request(0, number) };
    for number in 0..2 {
        queue.submit(Duration::ZERO, held(number)).unwrap();
    }
    queue.submit(Duration::ZERO, request(1, 2)).unwrap();
    assert_eq!(queue.take_refused().len(), 1);
    assert_eq!(queue.waiting(), 2);
}

#[test]
fn a_request_that_cannot_be_answered_in_time_is_refused_before_it_runs() {
    let mut world = World::new(1).shares(&[share(1)]);
    world.ask(0, "m", 10 * MS);
    world.run();
    // What is known of its kind says that it takes longer than it has.
    let in_time = world.now + 11 * MS;
    let late = world.ask_with(0, "m", 10 * MS, 1, None, Some(world.now + 9 * MS));
    assert_eq!(world.refused, [late]);
    // One that had time enough when it came, and has it no longer when it is its turn.
    let first = world.ask(0, "m", 10 * MS);
    let second = world.ask_with(0, "m", 10 * MS, 1, None, Some(in_time));
    world.run();
    assert_eq!(world.refused, [late, second]);
    assert!(world.executed().contains(&first));
    // Of what was never measured nothing is known but that its time must not be over.
    let unknown = world.ask_with(0, "new", 10 * MS, 1, None, Some(world.now + MS));
    let over = world.ask_with(0, "new", 10 * MS, 1, None, Some(world.now));
    world.run();
    assert!(world.executed().contains(&unknown));
    assert!(world.refused.contains(&over));
}

#[test]
fn a_request_that_was_taken_back_waits_no_more() {
    let mut queue = Queue::new(room(4), 1);
    let ticket = queue.submit(Duration::ZERO, request(0, 7)).unwrap();
    assert_eq!(queue.cancel(ticket), Some(7));
    assert_eq!(queue.cancel(ticket), None);
    assert_eq!((queue.waiting(), queue.waiting_of(&tenant(0))), (0, 0));
}

#[test]
fn a_tenant_that_is_gone_is_forgotten_once_it_is_quiet() {
    let mut queue = Queue::new(room(4), 1);
    queue.set_share(Duration::ZERO, &tenant(0), Share { waiting: 1, ..share(1) });
    let ticket = queue.submit(Duration::ZERO, request(0, 0)).unwrap();
    queue.retain_tenants(|_| false);
    assert!(queue.submit(Duration::ZERO, request(0, 1)).is_err(), "it still has its share");
    queue.cancel(ticket);
    queue.retain_tenants(|_| false);
    for number in 0..2 {
        assert!(queue.submit(Duration::ZERO, request(0, number)).is_ok(), "it has the default");
    }
}

#[test]
fn large_requests_of_one_tenant_do_not_take_the_room_of_the_others() {
    let mut queue = Queue::new(Room { requests: 100, bytes: 1000 }, 1);
    // Alone it may have all of it, and no more.
    for number in 0..10 {
        queue.submit(Duration::ZERO, sized(0, number, 100)).unwrap();
    }
    let (_, refused) = queue.submit(Duration::ZERO, sized(0, 10, 1)).unwrap_err();
    assert_eq!(refused, Refused::BytesFull { most: 1000 });
    // As much as a neighbour needs goes of the newest, until both have as much.
    let put_out = |queue: &mut Queue<&str, usize>| -> Vec<usize> {
        queue.take_refused().into_iter().map(|(number, _)| number).collect()
    };
    queue.submit(Duration::ZERO, sized(1, 11, 150)).unwrap();
    assert_eq!(put_out(&mut queue), [9, 8]);
    assert_eq!(queue.waiting_bytes(), 950);
    queue.submit(Duration::ZERO, sized(1, 12, 350)).unwrap();
    assert_eq!(put_out(&mut queue), [7, 6, 5]);
    let (_, refused) = queue.submit(Duration::ZERO, sized(1, 13, 1)).unwrap_err();
    assert_eq!(refused, Refused::BytesFull { most: 1000 });
    assert_eq!(put_out(&mut queue), [0_usize; 0]);
    assert_eq!((queue.waiting_of(&tenant(0)), queue.waiting_of(&tenant(1))), (5, 2));
}

#[test]
fn bytes_are_divided_by_weight() {
    let mut queue = Queue::new(Room { requests: 100, bytes: 1000 }, 1);
    queue.set_share(Duration::ZERO, &tenant(1), Share { weight: 4, ..share(1) });
    for number in 0..10 {
        queue.submit(Duration::ZERO, sized(0, number, 100)).unwrap();
    }
    for number in 10..18 {
        queue.submit(Duration::ZERO, sized(1, number, 100)).unwrap();
    }
    assert_eq!((queue.waiting_of(&tenant(0)), queue.waiting_of(&tenant(1))), (2, 8));
    assert!(queue.submit(Duration::ZERO, sized(1, 18, 100)).is_err());
}

#[test]
fn what_finds_no_room_puts_nobody_out() {
    let mut queue = Queue::new(Room { requests: 100, bytes: 1000 }, 1);
    for (of, number) in [(0, 0), (1, 1)] {
        queue.submit(Duration::ZERO, sized(of, number, 500)).unwrap();
    }
    // One of them would have to go whole, and would then have less than this one.
    let (_, refused) = queue.submit(Duration::ZERO, sized(2, 2, 501)).unwrap_err();
    assert_eq!(refused, Refused::BytesFull { most: 1000 });
    let (_, refused) = queue.submit(Duration::ZERO, sized(2, 2, 1001)).unwrap_err();
    assert_eq!(refused, Refused::TooLarge { bytes: 1001, most: 1000 });
    assert!(queue.take_refused().is_empty());
    assert_eq!((queue.waiting(), queue.waiting_bytes()), (2, 1000));
}

#[test]
fn what_waits_for_company_is_put_out_too() {
    let mut queue = Queue::new(Room { requests: 100, bytes: 1000 }, 1);
    let held = |number, bytes| Request {
        join: Some(Join { max_rows: 8, wait: MS }),
        ..sized(0, number, bytes)
    };
    queue.submit(Duration::ZERO, sized(0, 0, 400)).unwrap();
    queue.submit(Duration::ZERO, held(1, 400)).unwrap();
    queue.submit(Duration::ZERO, sized(1, 2, 300)).unwrap();
    assert_eq!(queue.take_refused().len(), 1);
    assert_eq!((queue.waiting(), queue.waiting_bytes()), (2, 700));
}

/// What the test knows of a request that waits.
struct Known {
    of: usize,
    bytes: u64,
    ticket: Ticket,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// `B` of all bytes, divided by the weights of those who wait: who has no more than its part is
    /// neither refused nor put out, and nobody ever finds the room too full.
    #[test]
    fn a_tenant_within_its_part_of_the_bytes_is_neither_refused_nor_put_out(
        weights in prop::collection::vec(1..9_u32, 4),
        steps in prop::collection::vec((0..4_usize, 0..400_u64, 0..8_u8, any::<bool>()), 1..200),
    ) {
        const MOST: u64 = 1000;
        let mut queue = Queue::new(Room { requests: 10_000, bytes: MOST }, 2);
        for (of, weight) in weights.iter().enumerate() {
            queue.set_share(Duration::ZERO, &tenant(of), share(*weight));
        }
        let mut waiting: BTreeMap<usize, Known> = BTreeMap::new();
        for (number, (of, bytes, what, held)) in steps.into_iter().enumerate() {
            let now = MS * number as u32;
            if what == 0 {
                if let Next::Run(batch) = queue.next(now, Lane::Any) {
                    for member in &batch.members {
                        waiting.remove(&member.payload);
                    }
                    queue.finish(batch.id, MS);
                }
            } else if what == 1 {
                let some = waiting.keys().nth(bytes as usize % waiting.len().max(1)).copied();
                if let Some(known) = some.and_then(|number| waiting.remove(&number)) {
                    prop_assert!(queue.cancel(known.ticket).is_some());
                }
            } else {
                let join = held.then_some(Join { max_rows: 3, wait: MS * 3 });
                let mut has: HashMap<usize, u64> = HashMap::from([(of, bytes)]);
                for known in waiting.values() {
                    *has.entry(known.of).or_default() += known.bytes;
                }
                let all: u64 = has.keys().map(|of| u64::from(weights[*of])).sum();
                let within = |of: usize| has[&of] * all <= MOST * u64::from(weights[of]);
                match queue.submit(now, Request { join, ..sized(of, number, bytes) }) {
                    Ok(ticket) => _ = waiting.insert(number, Known { of, bytes, ticket }),
                    Err((_, refused)) => {
                        prop_assert_eq!(refused, Refused::BytesFull { most: MOST });
                        prop_assert!(!within(of), "refused within its part");
                    }
                }
                for (number, refused) in queue.take_refused() {
                    prop_assert_eq!(refused, Refused::BytesFull { most: MOST });
                    let known = waiting.remove(&number).unwrap();
                    prop_assert!(known.of != of && !within(known.of), "put out within its part");
                }
            }
            let sum: u64 = waiting.values().map(|known| known.bytes).sum();
            prop_assert_eq!((queue.waiting(), queue.waiting_bytes()), (waiting.len(), sum));
            prop_assert!(sum <= MOST);
        }
    }
}
