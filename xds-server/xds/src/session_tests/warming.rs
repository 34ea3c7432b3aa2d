//! Nothing that Envoy waits for while it warms a cluster or listener is ever left out.

use super::*;

#[test]
fn an_endpoint_request_is_answered_while_clusters_still_warm_and_change() {
    let mut stream = Stream::open(Variant::Delta);
    stream.send(delta(CLUSTER, &["*"], &[]));
    stream.burst(&world("1"));
    stream.send(delta(ENDPOINT, &["e"], &[]));
    let sent = stream.burst(&world("2"));
    assert_eq!(types(&sent), [CLUSTER, ENDPOINT]);
}

#[test]
fn a_changed_cluster_brings_its_endpoints_again_and_no_others() {
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let mut stream = Stream::open(variant);
        let base = |edition| {
            let builder = cluster(Snapshot::builder(), "c", "e", edition);
            let builder = builder.resource(ENDPOINT, "e", "1").resource(ENDPOINT, "f", "1");
            cluster(builder, "d", "f", "1").build()
        };
        match variant {
            Variant::Delta => {
                stream.send(delta(CLUSTER, &[], &[]));
                stream.send(delta(ENDPOINT, &["e", "f"], &[]));
                stream.drain(&base("1"));
            }
            Variant::StateOfTheWorld => {
                stream.send(sotw(CLUSTER, &[], ""));
                stream.send(sotw(ENDPOINT, &["e", "f"], ""));
                for push in stream.burst(&base("1")) {
                    let asked: &[&str] = if push.type_url == ENDPOINT { &["e", "f"] } else { &[] };
                    stream.send(sotw(&push.type_url, asked, &push.nonce));
                }
            }
        }
        let sent = stream.burst(&base("2"));
        assert_eq!(types(&sent), [CLUSTER, ENDPOINT], "{variant:?}");
        if variant == Variant::Delta {
            assert_eq!(names(&sent[0]), ["c"]);
            assert_eq!(names(&sent[1]), ["e"]);
        }
    }
}

#[test]
fn a_repeated_request_for_endpoints_is_answered_again() {
    let mut stream = Stream::open(Variant::StateOfTheWorld);
    stream.send(sotw(ENDPOINT, &["e"], ""));
    let sent = stream.burst(&world("1"));
    stream.send(sotw(ENDPOINT, &["e"], &sent[0].nonce));
    assert!(stream.burst(&world("1")).is_empty(), "that was the acknowledgement");
    stream.send(sotw(ENDPOINT, &["e"], &sent[0].nonce));
    assert_eq!(names(&stream.burst(&world("1"))[0]), ["e"]);
}

#[test]
fn endpoints_come_again_after_a_reconnect_since_a_cluster_may_be_waiting_for_them() {
    let snapshot = world("1");
    for (type_url, name, again) in [(ENDPOINT, "e", true), (EXTENSION, "x", false)] {
        let version = snapshot.of_type(type_url).get(name).unwrap().version().to_owned();
        let claims = BTreeMap::from([(name.to_owned(), version)]);
        let mut stream = Stream::open(Variant::Delta);
        stream.send(Request { claims, resumes: true, ..delta(type_url, &[name], &[]) });
        assert_eq!(!stream.burst(&snapshot).is_empty(), again, "{type_url}");
    }
}
