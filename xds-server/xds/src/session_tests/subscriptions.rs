//! What is owed to a proxy for what it asks.

use super::*;

#[test]
fn a_longer_list_of_names_is_answered_at_the_same_version() {
    let snapshot =
        Snapshot::builder().resource(ENDPOINT, "e", "1").resource(ENDPOINT, "f", "1").build();
    let mut stream = Stream::open(Variant::StateOfTheWorld);
    stream.send(sotw(ENDPOINT, &["e"], ""));
    let sent = stream.burst(&snapshot);
    stream.send(sotw(ENDPOINT, &["e", "f"], &sent[0].nonce));
    assert_eq!(names(&stream.burst(&snapshot)[0]), ["f", "e"]);
}

#[test]
fn a_reconnecting_proxy_gets_only_what_differs() {
    let snapshot = Snapshot::builder()
        .resource(OWN, "same", "1")
        .resource(OWN, "changed", "2")
        .resource(OWN, "new", "1")
        .build();
    let version = |name| snapshot.of_type(OWN).get(name).unwrap().version().to_owned();
    let claims = BTreeMap::from([
        ("same".to_owned(), version("same")),
        ("changed".to_owned(), "older".to_owned()),
        ("gone".to_owned(), "older".to_owned()),
    ]);
    let mut stream = Stream::open(Variant::Delta);
    stream.send(Request { claims, resumes: true, ..delta(OWN, &["*"], &[]) });
    let sent = stream.burst(&snapshot);
    assert_eq!(sent.len(), 1);
    assert_eq!(names(&sent[0]), ["changed", "new"]);
    assert_eq!(sent[0].removed, ["gone"]);
}

#[test]
fn a_name_subscribed_again_is_sent_again() {
    let mut stream = Stream::open(Variant::Delta);
    stream.send(delta(ENDPOINT, &["e"], &[]));
    stream.drain(&world("1"));
    stream.send(delta(ENDPOINT, &["e"], &["e"]));
    assert_eq!(names(&stream.drain(&world("1"))[0]), ["e"]);
}

#[test]
fn a_name_that_does_not_exist_is_said_not_to() {
    let mut stream = Stream::open(Variant::Delta);
    stream.send(delta(ENDPOINT, &["nobody"], &[]));
    let sent = stream.drain(&world("1"));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].removed, ["nobody"]);
}

#[test]
fn a_wildcard_over_nothing_is_answered_once() {
    for first in [delta(CLUSTER, &["*"], &[]), delta(CLUSTER, &[], &[])] {
        let mut stream = Stream::open(Variant::Delta);
        stream.send(first);
        let sent = stream.drain(&Snapshot::builder().build());
        assert_eq!((sent.len(), names(&sent[0]).len()), (1, 0));
    }
    let mut stream = Stream::open(Variant::StateOfTheWorld);
    stream.send(sotw(CLUSTER, &[], ""));
    assert_eq!(stream.burst(&Snapshot::builder().build()).len(), 1);
}

#[test]
fn a_stream_cannot_make_the_server_hold_any_number_of_types() {
    let mut session = Session::new(Variant::Delta, BTreeMap::new());
    let now = Instant::now();
    let refused =
        (0..1000).find(|it| session.receive(delta(&it.to_string(), &["*"], &[]), now).is_err());
    assert_eq!(refused, Some(64));
}
