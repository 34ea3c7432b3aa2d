//! What may wait, and until when.

use std::time::Duration;

use scheduler::queue::{Join, Queue, Refused, Request, Share};

use crate::{
    MS,
    world::{World, share, tenant},
};

fn request(of: usize, number: usize) -> Request<&'static str, usize> {
    Request { tenant: tenant(of), kind: "m", rows: 1, join: None, deadline: None, payload: number }
}

#[test]
fn a_tenant_waits_with_as_many_requests_as_it_may() {
    let mut queue = Queue::new(100, 1);
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
    let mut queue = Queue::new(4, 1);
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
    let mut queue = Queue::new(2, 1);
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
    let mut queue = Queue::new(4, 1);
    let ticket = queue.submit(Duration::ZERO, request(0, 7)).unwrap();
    assert_eq!(queue.cancel(ticket), Some(7));
    assert_eq!(queue.cancel(ticket), None);
    assert_eq!((queue.waiting(), queue.waiting_of(&tenant(0))), (0, 0));
}

#[test]
fn a_tenant_that_is_gone_is_forgotten_once_it_is_quiet() {
    let mut queue = Queue::new(4, 1);
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
