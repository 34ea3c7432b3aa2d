//! What travels before what, and what waits for whom.

use super::*;
use crate::session::PATIENCE;

#[test]
fn what_is_named_travels_before_what_names_it() {
    let mut stream = subscribed_to_the_world();
    let sent = stream.drain(&world("1"));
    assert_eq!(types(&sent), [CLUSTER, ENDPOINT, OWN, LISTENER, ROUTE, EXTENSION]);
}

#[test]
fn listeners_and_filters_wait_until_clusters_are_warm_but_not_for_ever() {
    let mut stream = subscribed_to_the_world();
    let first = stream.burst(&world("1"));
    assert_eq!(types(&first), [CLUSTER, ENDPOINT, OWN]);
    stream.ack(&first[1]);
    assert!(stream.burst(&world("1")).is_empty(), "the clusters are not warm yet");
    assert_eq!(stream.session.wake_at(), Some(stream.now + PATIENCE));
    stream.now += PATIENCE;
    assert_eq!(types(&stream.burst(&world("1"))), [LISTENER, ROUTE, EXTENSION]);
}

#[test]
fn a_push_carries_only_what_changed() {
    let mut stream = Stream::open(Variant::Delta);
    stream.send(delta(OWN, &["*"], &[]));
    let one = Snapshot::builder().resource(OWN, "a", "1").resource(OWN, "b", "1").build();
    let two = Snapshot::builder().resource(OWN, "a", "1").resource(OWN, "b", "2").build();
    assert_eq!(names(&stream.drain(&one)[0]), ["a", "b"]);
    assert_eq!(names(&stream.drain(&two)[0]), ["b"]);
    assert!(stream.drain(&two).is_empty());
}

#[test]
fn a_cluster_is_withdrawn_only_after_all_that_may_name_it_moved_on() {
    let mut stream = subscribed_to_the_world();
    stream.drain(&world("1"));
    let without = Snapshot::builder()
        .resource(LISTENER, "l", "1")
        .resource(ROUTE, "r", "1")
        .resource(EXTENSION, "x", "2")
        .resource(OWN, "o", "1")
        .build();
    let first = stream.burst(&without);
    assert_eq!(types(&first), [EXTENSION]);
    stream.session.take_events();
    stream.ack(&first[0]);
    let second = stream.burst(&without);
    assert_eq!(types(&second), [CLUSTER]);
    assert_eq!(second[0].removed, ["c"]);
    stream.ack(&second[0]);
    let third = stream.burst(&without);
    assert_eq!(types(&third), [ENDPOINT]);
    stream.ack(&third[0]);
    stream.burst(&without);
    assert_eq!(stream.in_force(), [EXTENSION, CLUSTER, ENDPOINT]);
}

#[test]
fn a_cluster_stays_while_the_last_good_filter_still_counts_on_it() {
    let mut stream = subscribed_to_the_world();
    stream.drain(&world("1"));
    let bad = Snapshot::builder().resource(EXTENSION, "x", "bad").build();
    let mut clusters_removed = false;
    for _ in 0..10 {
        for push in stream.burst(&bad) {
            clusters_removed |= push.type_url == CLUSTER;
            match push.type_url.as_str() {
                EXTENSION => stream.nack(&push),
                _ => stream.ack(&push),
            }
        }
    }
    assert!(!clusters_removed);
    // The push is over all the same: nobody need wait for the cluster to go.
    assert!(stream.in_force().contains(&CLUSTER.to_owned()));
    let mended = Snapshot::builder().resource(EXTENSION, "x", "good").build();
    assert!(types(&stream.drain(&mended)).contains(&CLUSTER));
}

#[test]
fn a_state_of_the_world_push_keeps_a_cluster_until_it_is_no_longer_named() {
    let mut stream = Stream::open(Variant::StateOfTheWorld);
    stream.send(sotw(CLUSTER, &[], ""));
    stream.send(sotw(ROUTE, &["r"], ""));
    let old = cluster(Snapshot::builder(), "old", "", "1").resource(ROUTE, "r", "old").build();
    let new = cluster(Snapshot::builder(), "new", "", "1").resource(ROUTE, "r", "new").build();
    let answer = |stream: &mut Stream, push: &Push| {
        let asked: &[&str] = if push.type_url == ROUTE { &["r"] } else { &[] };
        stream.send(sotw(&push.type_url, asked, &push.nonce));
    };
    let mut sent = Vec::new();
    for snapshot in [&old, &new] {
        while let Some(push) = stream.next(snapshot) {
            answer(&mut stream, &push);
            let mut held: Vec<_> = push.resources.iter().map(|(name, _)| name.clone()).collect();
            held.sort();
            sent.push(held.join(" "));
            assert!(sent.len() < 20);
        }
    }
    assert_eq!(sent, ["old", "r", "new old", "r", "new"]);
}

#[test]
fn a_version_that_asks_nothing_of_a_proxy_is_in_force_at_once() {
    let mut stream = Stream::open(Variant::Delta);
    stream.send(delta(ENDPOINT, &["e"], &[]));
    stream.drain(&world("1"));
    stream.session.take_events();
    let grown = Snapshot::builder()
        .resource(ENDPOINT, "e", "1")
        .resource(ENDPOINT, "somebody_elses", "1")
        .build();
    assert!(stream.burst(&grown).is_empty());
    assert_eq!(stream.in_force(), [ENDPOINT]);
}
