//! Whatever is pushed, refused, applied in part and re-subscribed: in the end the proxy holds what
//! it should.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::outbox::Refused;

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
    inbox: VecDeque<Push>,
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
            inbox: VecDeque::new(),
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
                Event::Subscribed { .. } | Event::Sent { .. } | Event::Fetching { .. } => {}
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
            // A proxy that applied something but never accepted anything looks like one that has
            // just started.
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
                    let removed = push.removed.iter().map(String::as_str);
                    for name in names(&push).into_iter().chain(removed) {
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
