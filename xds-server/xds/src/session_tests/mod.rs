//! The protocol's promises, held against the state machine alone: no sockets, and a clock that the
//! tests set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

mod fetches;
mod order;
mod random;
mod refusals;
mod subscriptions;
mod warming;

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster::EdsClusterConfig};
use tokio::time::Instant;

use crate::interest::Change;
use crate::session::{Event, Push, Request, Session, Variant};
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
        self.session.receive(request, self.now).expect("within bounds");
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
