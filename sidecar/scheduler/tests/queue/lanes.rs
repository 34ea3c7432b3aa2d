//! Who gives way.

use std::time::Duration;

use scheduler::queue::{Join, Lane, Next, Queue, Request, Time};

use crate::{
    MS,
    world::{room, tenant},
};

type Lanes = Queue<&'static str, usize>;

fn submit(queue: &mut Lanes, now: Time, of: usize) {
    let (join, deadline) = (None, None);
    let request =
        Request { tenant: tenant(of), kind: "m", rows: 1, bytes: 0, join, deadline, payload: of };
    queue.submit(now, request).unwrap();
}

/// Runs what the lane has for it, for so long each, until it has nothing.
fn drain(queue: &mut Lanes, now: Time, lane: Lane, cost: Duration) -> Vec<usize> {
    let mut ran = vec![];
    while let Next::Run(batch) = queue.next(now, lane) {
        ran.extend(batch.members.iter().map(|member| member.payload));
        queue.finish(batch.id, cost);
    }
    ran
}

/// A queue before one processor in which org_0 has just used more than its part.
fn after_a_flood() -> (Lanes, Time) {
    let mut queue = Queue::new(room(10_000), 1);
    for _ in 0..40 {
        submit(&mut queue, Duration::ZERO, 0);
        submit(&mut queue, Duration::ZERO, 1);
    }
    let ran = drain(&mut queue, Duration::ZERO, Lane::Any, 10 * MS);
    assert_eq!(ran.len(), 80);
    // A second later org_1 has caught up with its part, which is half; org_0 has gone on.
    let now = Duration::from_secs(1);
    for _ in 0..40 {
        submit(&mut queue, now, 0);
    }
    drain(&mut queue, now, Lane::Guaranteed, 10 * MS);
    drain(&mut queue, now, Lane::Spare, 10 * MS);
    (queue, now)
}

#[test]
fn one_beyond_its_part_runs_in_what_is_spare_and_the_others_do_not() {
    let (mut queue, now) = after_a_flood();
    for of in [0, 1, 0, 1] {
        submit(&mut queue, now, of);
    }
    assert_eq!(drain(&mut queue, now, Lane::Guaranteed, MS), [1, 1]);
    assert_eq!(drain(&mut queue, now, Lane::Spare, MS), [0, 0]);
}

#[test]
fn one_beyond_its_part_rides_along_where_that_costs_the_others_hardly_anything() {
    let join = Some(Join { max_rows: 8, wait: Duration::ZERO });
    for (cost_of_four, together) in [(MS, vec![1, 0, 0, 0]), (2 * MS, vec![1])] {
        let (mut queue, now) = after_a_flood();
        let submit = |queue: &mut Lanes, of: usize| {
            let (tenant, kind, deadline) = (tenant(of), "joined", None);
            queue
                .submit(
                    now,
                    Request { tenant, kind, rows: 1, bytes: 0, join, deadline, payload: of },
                )
                .unwrap();
        };
        // What one row and what four take is known once it was seen.
        submit(&mut queue, 0);
        drain(&mut queue, now, Lane::Spare, MS);
        (0..4).for_each(|_| submit(&mut queue, 0));
        drain(&mut queue, now, Lane::Spare, cost_of_four);
        for of in [0, 0, 0, 1] {
            submit(&mut queue, of);
        }
        let Next::Run(batch) = queue.next(now, Lane::Guaranteed) else { panic!("nothing to run") };
        let members: Vec<_> = batch.members.iter().map(|member| member.payload).collect();
        assert_eq!(members, together);
    }
}

#[test]
fn one_that_gets_nothing_of_what_is_spare_is_within_its_part_again() {
    let (mut queue, now) = after_a_flood();
    submit(&mut queue, now, 0);
    let Next::NotBefore(at) = queue.next(now, Lane::Guaranteed) else { panic!("it is within") };
    assert!(at > now && at - now <= Duration::from_secs(3), "{at:?} from {now:?}");
    assert_eq!(drain(&mut queue, at, Lane::Guaranteed, MS), [0]);
}

#[test]
fn a_tenant_alone_on_a_node_has_all_of_it() {
    let mut queue = Queue::new(room(10_000), 2);
    let mut now = Duration::ZERO;
    let mut ran = 0;
    for _ in 0..100 {
        submit(&mut queue, now, 0);
        ran += drain(&mut queue, now, Lane::Guaranteed, 10 * MS).len();
        now += 10 * MS;
    }
    assert_eq!(ran, 100);
}
