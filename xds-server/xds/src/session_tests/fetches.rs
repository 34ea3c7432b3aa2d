//! What a proxy refuses because it must fetch something first.

use std::time::Duration;

use super::*;
use crate::fetches::PATIENCE;
use crate::{Resource, STAMP};

/// A filter with a table, that names code.
fn filter(table: &str, code: &str) -> Snapshot {
    let message = Cluster {
        name: STAMP.to_owned(),
        alt_stat_name: format!("{table} {code}"),
        ..Cluster::default()
    };
    Snapshot::builder().add(EXTENSION, "x", Resource::fetching(&message, code)).build()
}

fn subscribed(variant: Variant) -> Stream {
    let mut stream = Stream::open(variant);
    stream.send(match variant {
        Variant::Delta => delta(EXTENSION, &["x"], &[]),
        Variant::StateOfTheWorld => sotw(EXTENSION, &["x"], ""),
    });
    stream
}

/// Refuses the one response that there is to be; returns the wait until there is another.
fn refused(stream: &mut Stream, snapshot: &Snapshot) -> Option<Duration> {
    let burst = stream.burst(snapshot);
    assert_eq!(types(&burst), [EXTENSION]);
    stream.nack(&burst[0]);
    assert!(stream.burst(snapshot).is_empty(), "sent again at once");
    stream.session.wake_at().map(|at| at - stream.now)
}

fn is_told_as_refused(stream: &mut Stream) -> bool {
    stream.session.take_events().iter().any(|event| matches!(event, Event::Refused { .. }))
}

#[test]
fn what_names_unknown_code_is_sent_again_ever_more_slowly_until_it_is_taken() {
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let (mut stream, snapshot) = (subscribed(variant), filter("1", "code"));
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = refused(&mut stream, &snapshot).expect("another try");
            waits.push(wait.as_millis());
            stream.now += wait;
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000], "{variant:?}");
        assert!(!is_told_as_refused(&mut stream));
        let burst = stream.burst(&snapshot);
        stream.ack(&burst[0]);
        assert!(stream.burst(&snapshot).is_empty());
        assert_eq!(stream.in_force(), [EXTENSION]);
        assert_eq!(stream.session.wake_at(), None);
    }
}

#[test]
fn nothing_is_in_force_while_a_proxy_fetches() {
    let (mut stream, snapshot) = (subscribed(Variant::Delta), filter("1", "code"));
    refused(&mut stream, &snapshot);
    assert!(stream.in_force().is_empty());
}

#[test]
fn a_bad_table_under_known_code_is_refused_and_not_sent_again() {
    let mut stream = subscribed(Variant::Delta);
    stream.drain(&filter("1", "code"));
    let bad = filter("bad", "code");
    assert_eq!(refused(&mut stream, &bad), None);
    assert!(is_told_as_refused(&mut stream));
    stream.now += 2 * PATIENCE;
    assert!(stream.burst(&bad).is_empty());
    assert_eq!(names(&stream.burst(&filter("2", "code"))[0]), ["x"]);
}

#[test]
fn code_that_a_proxy_never_takes_is_refused_in_the_end() {
    let (mut stream, bad) = (subscribed(Variant::Delta), filter("1", "bad code"));
    let began = stream.now;
    while let Some(wait) = refused(&mut stream, &bad) {
        stream.now += wait;
    }
    assert!(stream.now - began >= PATIENCE, "after {:?}", stream.now - began);
    assert!(is_told_as_refused(&mut stream));
    stream.now += PATIENCE;
    assert!(stream.burst(&bad).is_empty());
}

#[test]
fn on_the_way_back_code_may_be_gone_and_is_waited_for_again() {
    let mut stream = subscribed(Variant::Delta);
    stream.drain(&filter("1", "old"));
    stream.session.take_events();
    assert!(refused(&mut stream, &filter("1", "new")).is_some());
    // Sent at once: it waits for other code.
    let wait = refused(&mut stream, &filter("1", "old")).expect("another try");
    stream.now += wait;
    stream.drain(&filter("1", "old"));
    assert_eq!(stream.in_force(), [EXTENSION]);
}

#[test]
fn another_table_under_the_same_code_waits_with_it() {
    let mut stream = subscribed(Variant::Delta);
    let wait = refused(&mut stream, &filter("1", "code")).expect("another try");
    assert!(stream.burst(&filter("2", "code")).is_empty());
    stream.now += wait;
    assert_eq!(stream.drain(&filter("2", "code")).len(), 1);
}

#[test]
fn code_that_a_proxy_brings_along_is_known() {
    let (good, bad) = (filter("1", "code"), filter("bad", "code"));
    let held = good.of_type(EXTENSION).iter();
    let claims = held.map(|(name, it)| (name.to_owned(), it.version().to_owned())).collect();
    let mut stream = Stream::open(Variant::Delta);
    stream.send(Request { claims, resumes: true, ..delta(EXTENSION, &["x"], &[]) });
    assert!(stream.burst(&good).is_empty());
    assert_eq!(refused(&mut stream, &bad), None);
}

#[test]
fn a_cluster_is_not_taken_away_while_a_filter_that_may_name_it_is_fetched() {
    let mut stream = subscribed(Variant::Delta);
    stream.send(delta(CLUSTER, &["*"], &[]));
    let named = |snapshot: &Snapshot| {
        let filter = snapshot.of_type(EXTENSION).get("x").expect("the filter").clone();
        cluster(Snapshot::builder(), "c", "e", "1").add(EXTENSION, "x", filter).build()
    };
    stream.drain(&named(&filter("1", "old")));
    let next = filter("1", "new");
    let wait = refused(&mut stream, &next).expect("another try");
    stream.now += wait;
    let sent = stream.drain(&next);
    assert_eq!(types(&sent), [EXTENSION, CLUSTER]);
    assert_eq!(sent[1].removed, ["c"]);
}

#[test]
fn no_two_sendings_have_the_same_bytes_and_all_have_one_version() {
    let snapshot = filter("1", "code");
    let resource = snapshot.of_type(EXTENSION).get("x").expect("the filter");
    let stamped = |number: u64| resource.stamped(number);
    assert_ne!(stamped(1), stamped(2));
    assert_eq!(stamped(0), resource.value().to_vec());
    let message = <Cluster as prost::Message>::decode(stamped(0xbeef).as_slice()).expect("whole");
    assert_eq!(message.name, "stamp-000000000000beef");
}
