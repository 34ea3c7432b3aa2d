//! One stream as a state machine without input or output: requests and snapshots go in, responses
//! come out.
//!
//! State-of-the-world and delta differ in how a request names its interest and in what a response
//! repeats. All else is the same here: the order of a push (make before break), who waits for whom,
//! and what a refusal means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use prost::Message as _;
use tokio::time::Instant;

use crate::interest::Change;
use crate::outbox::{Outbox, Plan, Refused, Verdict};
use crate::type_url::{self, Ranked};
use crate::{Resource, Snapshot, TypeResources};

/// How long one type waits for another's answer before it is sent regardless. Envoy withholds the
/// ACK of clusters until they are warm; one that never gets warm must not hold up, say, a
/// revocation for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

const MAX_TYPES: usize = 64;
const MAX_NAMES: usize = 100_000;

/// The two forms of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Each response repeats all resources of its type.
    StateOfTheWorld,
    /// Each response carries only what changed.
    Delta,
}

/// What both forms of a request come down to.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) type_url: String,
    pub(crate) interest: Change,
    /// Delta: what the proxy kept from an earlier stream.
    pub(crate) claims: BTreeMap<String, String>,
    /// The proxy kept something of this type from an earlier stream.
    pub(crate) resumes: bool,
    pub(crate) nonce: String,
    /// The proxy's own words about why it refused.
    pub(crate) error: Option<String>,
}

/// What both forms of a response are made from.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) type_url: String,
    pub(crate) version: String,
    pub(crate) nonce: String,
    /// State-of-the-world: all resources. Delta: those that changed.
    pub(crate) resources: Vec<(String, Resource)>,
    pub(crate) removed: Vec<String>,
}

/// What the book is to record.
#[derive(Debug)]
pub(crate) enum Event {
    Subscribed { type_url: String, resumes: bool },
    Sent { type_url: String, version: String, nonce: String },
    InForce { type_url: String, version: Arc<str> },
    Refused { type_url: String, refused: Refused, message: String },
    Fetching { type_url: String, refused: Refused, version: Arc<str>, message: String },
}

/// Why a stream is ended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Excess {
    #[error("expected at most {MAX_TYPES} type URLs on one stream; {0} is one more")]
    Types(String),
    #[error("expected at most {MAX_NAMES} subscribed names of {0}; subscribe to `*` instead")]
    Names(String),
}

#[derive(Debug)]
pub(crate) struct Session {
    variant: Variant,
    outboxes: BTreeMap<Ranked, Outbox>,
    remembered: BTreeMap<String, Refused>,
    events: Vec<Event>,
    nonces: u64,
    wake_at: Option<Instant>,
}

/// What keeps a removal back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    No,
    /// A type that may name the resource is on its way.
    Briefly,
    /// A type that may name the resource was refused, so its last good version still counts on it.
    Refusal,
}

impl Session {
    /// `remembered` are versions that this proxy refused on an earlier stream.
    pub(crate) fn new(variant: Variant, remembered: BTreeMap<String, Refused>) -> Self {
        Self {
            variant,
            outboxes: BTreeMap::new(),
            remembered,
            events: Vec::new(),
            nonces: 0,
            wake_at: None,
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// When [`Session::next`] is worth calling again although nothing arrived.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    pub(crate) fn receive(&mut self, request: Request, now: Instant) -> Result<(), Excess> {
        let Request { type_url, interest, claims, resumes, nonce, error } = request;
        let key = Ranked::new(&type_url);
        let first = !self.outboxes.contains_key(&key);
        if first && self.outboxes.len() >= MAX_TYPES {
            return Err(Excess::Types(type_url));
        }
        if first {
            self.events.push(Event::Subscribed { type_url: type_url.clone(), resumes });
        }
        let outbox = self.outboxes.entry(key).or_default();
        let again = self.variant == Variant::StateOfTheWorld
            && error.is_none()
            && outbox.asks_again(&nonce);
        if let Some(verdict) = outbox.answered(self.variant, &nonce, error, now) {
            self.events.extend(verdict_event(&type_url, verdict));
        }
        let due = outbox.interest.apply(&type_url, interest);
        if outbox.interest.names().len() > MAX_NAMES {
            return Err(Excess::Names(type_url));
        }
        outbox.owe(due);
        if first && resumes {
            outbox.resume(claims, self.remembered.remove(&type_url));
            if !type_url::completes_warming(&type_url) {
                outbox.forgive_claimed();
            }
        }
        if again {
            // Envoy re-opens a subscription under a name that it holds already, and waits for the
            // answer.
            let names = outbox.interest.names().clone();
            outbox.owe_again(names);
        }
        Ok(())
    }

    /// The next response to send, in the order that leaves no gap: what may be named first, and
    /// what may name it after; removals last and the other way round.
    pub(crate) fn next(&mut self, snapshot: &Snapshot, now: Instant) -> Option<Push> {
        self.wake_at = None;
        let keys: Vec<Ranked> = self.outboxes.keys().cloned().collect();
        for key in &keys {
            let resources = snapshot.of_type(key.url());
            let Some(outbox) = self.outboxes.get(key) else { continue };
            let mut plan = outbox.plan(self.variant, resources, now);
            let mut hold = Hold::No;
            if !plan.removed.is_empty() {
                hold = self.hold(key.url(), snapshot, now);
            }
            if let (Some(outbox), false) = (self.outboxes.get(key), hold == Hold::No) {
                plan.withhold(outbox);
            }
            let withheld = !plan.withheld.is_empty();
            let fetching = plan.waits_until.is_some();
            self.wake(plan.waits_until);
            if !plan.is_empty() {
                if self.waits(key.url(), now) {
                    continue;
                }
                return Some(self.send(key, plan, resources.version(), now));
            }
            let more_comes = fetching || (withheld && hold == Hold::Briefly);
            if !more_comes {
                self.settle(key, resources);
            }
        }
        None
    }

    fn send(&mut self, key: &Ranked, plan: Plan, version: &str, now: Instant) -> Push {
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        self.owe_for_warming(key.url(), &plan.upserts);
        let mut resources = Vec::new();
        if let Some(outbox) = self.outboxes.get_mut(key) {
            if self.variant == Variant::StateOfTheWorld {
                resources = outbox.still_held(&plan.withheld);
            }
            outbox.sent(&nonce, version, &plan, now);
        }
        self.events.push(Event::Sent {
            type_url: key.url().to_owned(),
            version: version.to_owned(),
            nonce: nonce.clone(),
        });
        resources.extend(plan.upserts);
        resources.extend(plan.rest);
        Push {
            type_url: key.url().to_owned(),
            version: version.to_owned(),
            nonce,
            resources,
            removed: plan.removed,
        }
    }

    /// A changed cluster is warm only once its endpoints came again, a listener once its routes
    /// did. Over delta Envoy does not even ask, since the old cluster still holds the subscription
    /// of the same name.
    fn owe_for_warming(&mut self, type_url: &str, changed: &[(String, Resource)]) {
        let (dependent, names) = match type_url {
            type_url::CLUSTER => (type_url::ENDPOINT, changed.iter().map(endpoints_of).collect()),
            type_url::LISTENER if !changed.is_empty() => {
                (type_url::ROUTE, self.named(type_url::ROUTE))
            }
            _ => return,
        };
        if let Some(outbox) = self.outboxes.get_mut(&Ranked::new(dependent)) {
            outbox.owe_again(names);
        }
    }

    fn named(&self, type_url: &str) -> Vec<String> {
        let outbox = self.outboxes.get(&Ranked::new(type_url));
        outbox.map(|outbox| outbox.interest.names().iter().cloned().collect()).unwrap_or_default()
    }

    /// True while what this type may name is on its way.
    fn waits(&mut self, type_url: &str, now: Instant) -> bool {
        type_url::referents(type_url).iter().any(|referent| self.under_way(referent, now))
    }

    /// True while an answer is awaited patiently.
    fn under_way(&mut self, type_url: &str, now: Instant) -> bool {
        let since = self.outboxes.get(&Ranked::new(type_url)).and_then(Outbox::waiting_since);
        let Some(until) = since.map(|since| since + PATIENCE).filter(|until| *until > now) else {
            return false;
        };
        self.wake(Some(until));
        true
    }

    /// Asks to be called again at this time, or earlier.
    fn wake(&mut self, at: Option<Instant>) {
        self.wake_at = [self.wake_at, at].into_iter().flatten().min();
    }

    fn hold(&mut self, type_url: &str, snapshot: &Snapshot, now: Instant) -> Hold {
        let mut hold = Hold::No;
        for referrer in type_url::referrers(type_url) {
            let Some(outbox) = self.outboxes.get(&Ranked::new(referrer)) else { continue };
            let resources = snapshot.of_type(referrer);
            let plan = outbox.plan(self.variant, resources, now);
            let refused = outbox.has_refused(resources.version());
            let ready = (plan.is_empty() || plan.only_removes()) && plan.waits_until.is_none();
            if !ready || self.under_way(referrer, now) {
                return Hold::Briefly;
            }
            let held_itself = match plan.is_empty() {
                true => Hold::No,
                false => self.hold(referrer, snapshot, now),
            };
            match held_itself {
                Hold::No if plan.is_empty() && refused => hold = Hold::Refusal,
                Hold::No if plan.is_empty() => {}
                Hold::Refusal => hold = Hold::Refusal,
                Hold::No | Hold::Briefly => return Hold::Briefly,
            }
        }
        hold
    }

    fn settle(&mut self, key: &Ranked, resources: &TypeResources) {
        if self.outboxes.get_mut(key).is_some_and(|outbox| outbox.settle(resources)) {
            let (type_url, version) = (key.url().to_owned(), resources.version().into());
            self.events.push(Event::InForce { type_url, version });
        }
    }
}

fn verdict_event(type_url: &str, verdict: Verdict) -> Option<Event> {
    let type_url = type_url.to_owned();
    match verdict {
        Verdict::Accepted { version, complete: true } => Some(Event::InForce { type_url, version }),
        Verdict::Accepted { complete: false, .. } => None,
        Verdict::Refused { refused, message } => {
            Some(Event::Refused { type_url, refused, message })
        }
        Verdict::Fetching { refused, version, message } => {
            Some(Event::Fetching { type_url, refused, version, message })
        }
    }
}

/// The name under which a cluster's endpoints are found.
fn endpoints_of((name, resource): &(String, Resource)) -> String {
    Cluster::decode(resource.value().clone())
        .ok()
        .and_then(|cluster| cluster.eds_cluster_config)
        .map(|eds| eds.service_name)
        .filter(|service_name| !service_name.is_empty())
        .unwrap_or_else(|| name.clone())
}
