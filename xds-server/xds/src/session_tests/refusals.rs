//! What a refusal keeps back, and what it must not.

use super::*;

#[test]
fn a_stale_nonce_acknowledges_nothing() {
    let mut stream = Stream::open(Variant::StateOfTheWorld);
    stream.send(sotw(CLUSTER, &[], ""));
    stream.burst(&world("1"));
    stream.session.take_events();
    stream.send(sotw(CLUSTER, &[], "no such nonce"));
    assert!(stream.burst(&world("1")).is_empty());
    assert!(stream.in_force().is_empty());
}

#[test]
fn a_refused_version_is_sent_again_only_once_its_type_changes() {
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let mut stream = Stream::open(variant);
        let ask = |nonce: &str, error: Option<&str>| {
            let base = match variant {
                Variant::Delta => delta(LISTENER, &[], &[]),
                Variant::StateOfTheWorld => sotw(LISTENER, &[], ""),
            };
            Request { nonce: nonce.to_owned(), error: error.map(str::to_owned), ..base }
        };
        let snapshot = |bad: &'static str, other: &'static str| {
            let builder = Snapshot::builder().resource(LISTENER, "l", bad);
            builder.resource(LISTENER, "m", "1").resource(OWN, "o", other).build()
        };
        stream.send(ask("", None));
        let sent = stream.burst(&snapshot("bad", "1"));
        stream.send(ask(&sent[0].nonce, Some("Envoy says no")));
        assert!(stream.burst(&snapshot("bad", "1")).is_empty(), "{variant:?}");
        assert!(stream.burst(&snapshot("bad", "2")).is_empty(), "another type changed");
        let sent = stream.burst(&snapshot("good", "2"));
        // `m` shared the refused response, so it is not known to have arrived.
        assert_eq!(names(&sent[0]), ["l", "m"], "{variant:?}");
    }
}

#[test]
fn going_back_after_a_refusal_sends_what_may_have_been_applied_in_part() {
    let mut stream = Stream::open(Variant::Delta);
    stream.send(delta(LISTENER, &["*"], &[]));
    let good = Snapshot::builder().resource(LISTENER, "l", "1").build();
    let bad = Snapshot::builder().resource(LISTENER, "l", "2").resource(LISTENER, "m", "2").build();
    stream.drain(&good);
    let refused = stream.burst(&bad);
    stream.nack(&refused[0]);
    let sent = stream.burst(&good);
    assert_eq!(names(&sent[0]), ["l"]);
    assert_eq!(sent[0].removed, ["m"]);
}

#[test]
fn a_removal_is_not_lost_with_the_bad_resource_beside_it() {
    let mut stream = Stream::open(Variant::Delta);
    stream.send(delta(OWN, &["*"], &[]));
    stream.drain(&Snapshot::builder().resource(OWN, "revoked", "1").build());
    let next = Snapshot::builder().resource(OWN, "bad", "1").build();
    let sent = stream.burst(&next);
    stream.nack(&sent[0]);
    let alone = stream.burst(&next);
    assert_eq!((names(&alone[0]), &alone[0].removed), (vec![], &owned(&["revoked"])));
    stream.ack(&alone[0]);
    assert!(stream.burst(&next).is_empty());
}

#[test]
fn doubts_from_several_refusals_outlive_the_stream_together() {
    let mut stream = Stream::open(Variant::Delta);
    stream.send(delta(OWN, &["*"], &[]));
    let good = Snapshot::builder().resource(OWN, "a", "1").resource(OWN, "b", "1").build();
    stream.drain(&good);
    let a = Snapshot::builder().resource(OWN, "a", "2").resource(OWN, "b", "1").build();
    let both = Snapshot::builder().resource(OWN, "a", "2").resource(OWN, "b", "2").build();
    let refused: Vec<_> = [&a, &both].into_iter().flat_map(|it| stream.burst(it)).collect();
    stream.session.take_events();
    refused.iter().for_each(|push| stream.nack(push));
    let events = stream.session.take_events().into_iter();
    let remembered = events.filter_map(|event| match event {
        Event::Refused { type_url, refused, .. } => Some((type_url, refused)),
        _ => None,
    });
    let session = Session::new(Variant::Delta, remembered.collect());
    let mut stream = Stream { session, now: stream.now };
    let held = good.of_type(OWN).iter();
    let claims = held.map(|(name, it)| (name.to_owned(), it.version().to_owned())).collect();
    stream.send(Request { claims, resumes: true, ..delta(OWN, &["*"], &[]) });
    // It claims exactly this, yet parts of what it refused may be in its place.
    assert_eq!(names(&stream.burst(&good)[0]), ["a", "b"]);
}
