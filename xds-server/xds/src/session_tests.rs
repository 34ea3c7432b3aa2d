//! The protocol's promises, held against the state machine alone: no sockets, and a clock that the tests set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster::EdsClusterConfig};
use tokio::time::Instant;

use crate::interest::Change;
use crate::outbox::Refused;
use crate::session::{Event, PATIENCE, Push, Request, Session, Variant};
use crate::type_url::{CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE};
use crate::{Snapshot, SnapshotBuilder};

const OWN: &str = "type.googleapis.com/bulkhead.v1.TenantAssignment";

/// A proxy's side of one session.
struct Stream {
    session: Session,
    now: Instant,
}

impl Stream {
    fn open(variant: Variant) -> Self {
        Self { session: Session::new(variant, BTreeMap::new()), now: Instant::now() }
    }

    fn send(&mut self, request: Request) {
        self.session.receive(request).expect("within bounds");
    }

    fn next(&mut self, snapshot: &Snapshot) -> Option<Push> {
        self.session.next(snapshot, self.now)
    }

    /// All that is sent without any further word from the proxy.
    fn burst(&mut self, snapshot: &Snapshot) -> Vec<Push> {
        let burst: Vec<_> = std::iter::from_fn(|| self.next(snapshot)).take(100).collect();
        assert!(burst.len() < 100, "sends without end: {burst:?}");
        burst
    }

    fn ack(&mut self, push: &Push) {
        self.send(Request { nonce: push.nonce.clone(), ..quiet(&push.type_url) });
    }

    fn nack(&mut self, push: &Push) {
        let error = Some("Envoy says no".to_owned());
        self.send(Request { nonce: push.nonce.clone(), error, ..quiet(&push.type_url) });
    }

    /// Acknowledges all until nothing more comes.
    fn drain(&mut self, snapshot: &Snapshot) -> Vec<Push> {
        let mut all = Vec::new();
        loop {
            let burst = self.burst(snapshot);
            if burst.is_empty() {
                return all;
            }
            burst.iter().for_each(|push| self.ack(push));
            all.extend(burst);
        }
    }

    fn in_force(&mut self) -> Vec<String> {
        let events = self.session.take_events();
        let in_force = events.into_iter().filter_map(|event| match event {
            Event::InForce { type_url, .. } => Some(type_url),
            _ => None,
        });
        in_force.collect()
    }
}

/// A delta request that changes no interest.
fn quiet(type_url: &str) -> Request {
    delta(type_url, &[], &[])
}

fn delta(type_url: &str, subscribe: &[&str], unsubscribe: &[&str]) -> Request {
    request(
        type_url,
        Change::Adjust { subscribe: owned(subscribe), unsubscribe: owned(unsubscribe) },
    )
}

fn sotw(type_url: &str, names: &[&str], nonce: &str) -> Request {
    let interest = Change::Replace(owned(names));
    Request { nonce: nonce.to_owned(), ..request(type_url, interest) }
}

fn request(type_url: &str, interest: Change) -> Request {
    Request {
        type_url: type_url.to_owned(),
        interest,
        claims: BTreeMap::new(),
        resumes: false,
        nonce: String::new(),
        error: None,
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn names(push: &Push) -> Vec<&str> {
    push.resources.iter().map(|(name, _)| name.as_str()).collect()
}

fn types(pushes: &[Push]) -> Vec<&str> {
    pushes.iter().map(|push| push.type_url.as_str()).collect()
}

/// A cluster `name` whose endpoints go by `service`; `edition` makes it another one.
fn cluster(builder: SnapshotBuilder, name: &str, service: &str, edition: &str) -> SnapshotBuilder {
    let eds = EdsClusterConfig { service_name: service.to_owned(), ..EdsClusterConfig::default() };
    let message = Cluster {
        name: name.to_owned(),
        alt_stat_name: edition.to_owned(),
        eds_cluster_config: Some(eds),
        ..Cluster::default()
    };
    builder.message(name, &message)
}

/// One of each, all in one edition.
fn world(edition: &str) -> Snapshot {
    cluster(Snapshot::builder(), "c", "e", edition)
        .resource(ENDPOINT, "e", edition.to_owned())
        .resource(LISTENER, "l", edition.to_owned())
        .resource(ROUTE, "r", edition.to_owned())
        .resource(EXTENSION, "x", edition.to_owned())
        .resource(OWN, "o", edition.to_owned())
        .build()
}

fn subscribed_to_the_world() -> Stream {
    let mut stream = Stream::open(Variant::Delta);
    for wildcard in [OWN, LISTENER, CLUSTER] {
        stream.send(delta(wildcard, &["*"], &[]));
    }
    for (named, name) in [(EXTENSION, "x"), (ROUTE, "r"), (ENDPOINT, "e")] {
        stream.send(delta(named, &[name], &[]));
    }
    stream
}

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
fn an_endpoint_request_is_answered_while_clusters_still_warm_and_change() {
    let mut stream = Stream::open(Variant::Delta);
    stream.send(delta(CLUSTER, &["*"], &[]));
    stream.burst(&world("1"));
    stream.send(delta(ENDPOINT, &["e"], &[]));
    let sent = stream.burst(&world("2"));
    assert_eq!(types(&sent), [CLUSTER, ENDPOINT]);
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

#[test]
fn a_stream_cannot_make_the_server_hold_any_number_of_types() {
    let mut session = Session::new(Variant::Delta, BTreeMap::new());
    let refused =
        (0..1000).find(|it| session.receive(delta(&it.to_string(), &["*"], &[])).is_err());
    assert_eq!(refused, Some(64));
}

mod random {
    //! Whatever is pushed, refused, applied in part and re-subscribed: in the end the proxy holds what it should.

    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    #[derive(Clone, Debug)]
    enum Step {
        /// A new snapshot: for each name, no resource (0) or one of three contents.
        Publish([u8; 4]),
        Accept,
        /// Refuses the oldest response and applies the resources of this mask all the same.
        Refuse(u8),
        Subscribe(usize),
        Unsubscribe(usize),
        Reconnect,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => prop::array::uniform4(0u8..4).prop_map(Step::Publish),
            4 => Just(Step::Accept),
            3 => any::<u8>().prop_map(Step::Refuse),
            1 => (0usize..4).prop_map(Step::Subscribe),
            1 => (0usize..4).prop_map(Step::Unsubscribe),
            1 => Just(Step::Reconnect),
        ]
    }

    fn snapshot(contents: [u8; 4], salt: &str) -> Snapshot {
        let present = NAMES.iter().zip(contents).filter(|(_, content)| *content > 0);
        let builder = present.fold(Snapshot::builder(), |builder, (name, content)| {
            builder.resource(OWN, *name, vec![content])
        });
        // Another resource makes it another version, so that no earlier refusal keeps it back.
        builder.resource(OWN, "salt", salt.to_owned()).build()
    }

    /// A delta proxy as the protocol describes it.
    struct Proxy {
        stream: Stream,
        wildcard: bool,
        subscribed: Vec<&'static str>,
        applied: BTreeMap<String, Vec<u8>>,
        versions: BTreeMap<String, String>,
        inbox: std::collections::VecDeque<Push>,
        /// The server's memory of what this proxy refused, which outlives a stream.
        remembered: BTreeMap<String, Refused>,
    }

    impl Proxy {
        fn new(wildcard: bool) -> Self {
            let mut proxy = Self {
                stream: Stream::open(Variant::Delta),
                wildcard,
                subscribed: if wildcard { vec![] } else { vec!["a", "b", "salt"] },
                applied: BTreeMap::new(),
                versions: BTreeMap::new(),
                inbox: std::collections::VecDeque::new(),
                remembered: BTreeMap::new(),
            };
            proxy.connect();
            proxy
        }

        fn connect(&mut self) {
            let now = Instant::now();
            let session = Session::new(Variant::Delta, self.remembered.clone());
            self.stream = Stream { session, now };
            self.inbox.clear();
            let names: &[&str] = if self.wildcard { &["*"] } else { &self.subscribed };
            if names.is_empty() {
                return;
            }
            self.stream.send(Request {
                claims: self.versions.clone(),
                resumes: !self.versions.is_empty(),
                ..delta(OWN, names, &[])
            });
        }

        fn receive(&mut self, snapshot: &Snapshot) {
            let burst = self.stream.burst(snapshot);
            self.inbox.extend(burst);
            for event in self.stream.session.take_events() {
                match event {
                    Event::Refused { type_url, refused, .. } => {
                        self.remembered.insert(type_url, refused);
                    }
                    Event::InForce { type_url, .. } => {
                        self.remembered.remove(&type_url);
                    }
                    Event::Subscribed { .. } | Event::Sent { .. } => {}
                }
            }
        }

        fn wants(&self, name: &str) -> bool {
            self.wildcard || self.subscribed.contains(&name)
        }

        /// Applies the resources that `mask` picks, by their place in the response.
        fn apply(&mut self, push: &Push, mask: u8, learn: bool) {
            let mut place = 0u32;
            let mut picked = || {
                place += 1;
                mask.checked_shr(place - 1).is_none_or(|it| it & 1 == 1)
            };
            for (name, resource) in &push.resources {
                if picked() && self.wants(name) {
                    self.applied.insert(name.clone(), resource.value().to_vec());
                    if learn {
                        self.versions.insert(name.clone(), resource.version().to_owned());
                    }
                }
            }
            for name in &push.removed {
                if picked() {
                    self.applied.remove(name);
                    if learn {
                        self.versions.remove(name);
                    }
                }
            }
        }

        fn answer(&mut self, refuse: Option<u8>) {
            let Some(push) = self.inbox.pop_front() else { return };
            match refuse {
                None => {
                    self.apply(&push, u8::MAX, true);
                    self.stream.ack(&push);
                }
                Some(mask) => {
                    self.apply(&push, mask, false);
                    self.stream.nack(&push);
                }
            }
        }

        fn take(&mut self, step: &Step) {
            match step {
                Step::Publish(_) => {}
                Step::Accept => self.answer(None),
                Step::Refuse(mask) => self.answer(Some(*mask)),
                Step::Subscribe(index) if !self.wildcard => {
                    let name = NAMES[*index];
                    self.subscribed.retain(|it| *it != name);
                    self.subscribed.push(name);
                    self.stream.send(delta(OWN, &[name], &[]));
                }
                Step::Unsubscribe(index) if !self.wildcard => {
                    let name = NAMES[*index];
                    self.subscribed.retain(|it| *it != name);
                    self.applied.remove(name);
                    self.versions.remove(name);
                    self.stream.send(delta(OWN, &[], &[name]));
                }
                Step::Subscribe(_) | Step::Unsubscribe(_) => {}
                // A proxy that applied something but never accepted anything looks like one that has just started.
                Step::Reconnect if self.versions.is_empty() && !self.applied.is_empty() => {}
                Step::Reconnect => self.connect(),
            }
        }
    }

    proptest! {
        #[test]
        fn after_all_acks_the_proxy_holds_the_snapshot(
            wildcard in any::<bool>(),
            steps in prop::collection::vec(step(), 0..60),
            last in prop::array::uniform4(0u8..4),
        ) {
            let mut proxy = Proxy::new(wildcard);
            let mut current = snapshot([1, 1, 0, 0], "first");
            for (index, step) in steps.iter().enumerate() {
                if let Step::Publish(contents) = step {
                    current = snapshot(*contents, &format!("{}", index % 3));
                }
                proxy.take(step);
                proxy.receive(&current);
            }
            current = snapshot(last, "last");
            for _ in 0..100 {
                proxy.receive(&current);
                proxy.answer(None);
            }
            let wanted: BTreeMap<_, _> = current
                .of_type(OWN)
                .iter()
                .filter(|(name, _)| proxy.wants(name))
                .map(|(name, resource)| (name.to_owned(), resource.value().to_vec()))
                .collect();
            prop_assert_eq!(proxy.applied, wanted);
        }

        #[test]
        fn a_refused_resource_does_not_come_back_at_the_same_version(
            contents in prop::collection::vec(prop::array::uniform4(0u8..4), 1..20),
        ) {
            let mut stream = Stream::open(Variant::Delta);
            stream.send(delta(OWN, &["*"], &[]));
            for contents in contents {
                let current = snapshot(contents, "salt");
                let mut refused: Vec<String> = Vec::new();
                for _ in 0..10 {
                    for push in stream.burst(&current) {
                        for name in names(&push).into_iter().chain(push.removed.iter().map(String::as_str)) {
                            let count = refused.iter().filter(|it| *it == name).count();
                            // A removal that was refused beside a resource is tried once more, alone.
                            prop_assert!(count == 0 || (count == 1 && push.resources.is_empty()));
                            refused.push(name.to_owned());
                        }
                        stream.nack(&push);
                    }
                }
            }
        }
    }

    #[test]
    fn time_alone_sends_nothing() {
        let mut stream = Stream::open(Variant::Delta);
        stream.send(delta(OWN, &["*"], &[]));
        let current = snapshot([1, 2, 3, 0], "salt");
        stream.drain(&current);
        stream.now += Duration::from_secs(3600);
        assert!(stream.burst(&current).is_empty());
    }
}
