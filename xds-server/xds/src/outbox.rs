//! One type on one stream: what the proxy is believed to hold, what is under way to it, and what is
//! still to be sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::fetches::Fetches;
use crate::interest::{Due, Interest};
use crate::session::Variant;
use crate::{Resource, TypeResources};

/// What a proxy is believed to hold under one name.
#[derive(Debug)]
enum Held {
    /// What was sent last, taken for accepted until it is refused.
    Sent(Resource),
    /// What a proxy that has just reconnected says it holds.
    Claimed(Arc<str>),
    /// It was in a refused response. Envoy may apply such a response in part, so nothing is known
    /// of it.
    Doubtful(Option<Resource>),
}

impl Held {
    fn is(&self, version: &str) -> bool {
        match self {
            Self::Sent(resource) => resource.version() == version,
            Self::Claimed(claimed) => claimed.as_ref() == version,
            Self::Doubtful(_) => false,
        }
    }

    fn resource(&self) -> Option<&Resource> {
        match self {
            Self::Sent(resource) | Self::Doubtful(Some(resource)) => Some(resource),
            Self::Claimed(_) | Self::Doubtful(None) => None,
        }
    }
}

/// A response that is not answered yet.
#[derive(Debug)]
struct Flight {
    nonce: String,
    version: Arc<str>,
    carried: BTreeSet<String>,
    removed: BTreeSet<String>,
    /// With this response the proxy holds all that the version says.
    complete: bool,
    sent_at: Instant,
}

impl Flight {
    fn names(&self, name: &str) -> bool {
        self.carried.contains(name) || self.removed.contains(name)
    }
}

/// A version that the proxy refused, and the names that are not to be sent to it again while it is
/// current.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) version: Arc<str>,
    pub(crate) names: BTreeSet<String>,
    /// All names of which it is not known what the proxy holds, from this refusal or earlier ones.
    pub(crate) doubted: BTreeSet<String>,
}

/// How a proxy answered a response.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted {
        version: Arc<str>,
        complete: bool,
    },
    Refused {
        refused: Refused,
        message: String,
    },
    /// It refused what it may have to fetch something for; `refused` keeps nothing back.
    Fetching {
        refused: Refused,
        version: Arc<str>,
        message: String,
    },
}

/// What there is to send, if anything.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) upserts: Vec<(String, Resource)>,
    /// State-of-the-world only: what the proxy holds already and must be told of again.
    pub(crate) rest: Vec<(String, Resource)>,
    pub(crate) removed: Vec<String>,
    /// Removals that wait until nothing names these resources any more.
    pub(crate) withheld: Vec<String>,
    /// Until when there is nothing more to send: the proxy fetches what it needs.
    pub(crate) waits_until: Option<Instant>,
    partial: bool,
    answer: bool,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removed.is_empty() && !self.answer
    }

    pub(crate) fn only_removes(&self) -> bool {
        self.upserts.is_empty() && !self.answer
    }

    /// Moves the removals aside, to be sent later.
    pub(crate) fn withhold(&mut self, outbox: &Outbox) {
        let (held, unknown) = std::mem::take(&mut self.removed)
            .into_iter()
            .partition(|name| outbox.held.contains_key(name));
        self.withheld = held;
        // That a name does not exist can be said at once: nobody loses anything by it.
        self.removed = unknown;
    }
}

/// The state of one type on one stream.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) interest: Interest,
    held: BTreeMap<String, Held>,
    due: BTreeSet<String>,
    answer: bool,
    flights: VecDeque<Flight>,
    last_nonce: Option<String>,
    refused: Option<Refused>,
    /// Names in refused responses that no accepted response has named since.
    doubted: BTreeSet<String>,
    /// The newest version that is known to be in force at the proxy.
    in_force: Option<Arc<str>>,
    fetches: Fetches,
}

impl Outbox {
    /// Continues from what a proxy says it holds, and from what it refused on an earlier stream.
    pub(crate) fn resume(&mut self, claims: BTreeMap<String, String>, refused: Option<Refused>) {
        self.held = claims
            .into_iter()
            .filter(|(name, _)| self.interest.covers(name))
            .map(|(name, version)| (name, Held::Claimed(version.into())))
            .collect();
        // Versions that a proxy claims are those of responses that it accepted, not of what it
        // applied in part.
        let doubted = refused.iter().flat_map(|refused| &refused.doubted);
        self.doubted = doubted.filter(|name| self.interest.covers(name)).cloned().collect();
        for name in &self.doubted {
            self.held.insert(name.clone(), Held::Doubtful(None));
        }
        self.refused = refused;
    }

    /// The names of claimed resources, which need no answer where they are current.
    pub(crate) fn forgive_claimed(&mut self) {
        let Self { due, held, .. } = self;
        due.retain(|name| !held.contains_key(name));
    }

    pub(crate) fn owe(&mut self, due: Due) {
        self.due.extend(due.names);
        if due.all {
            self.due.extend(self.held.keys().cloned());
        }
        self.answer |= due.answer;
        let Self { interest, held, due, doubted, .. } = self;
        held.retain(|name, _| interest.covers(name));
        due.retain(|name| interest.covers(name));
        doubted.retain(|name| interest.covers(name));
    }

    /// Owes these names again where the proxy is subscribed to them.
    pub(crate) fn owe_again(&mut self, names: impl IntoIterator<Item = String>) {
        let Self { interest, due, .. } = self;
        due.extend(names.into_iter().filter(|name| interest.covers(name)));
    }

    /// True where this request repeats the newest nonce after it was answered: the proxy asks
    /// again.
    pub(crate) fn asks_again(&self, nonce: &str) -> bool {
        self.last_nonce.as_deref() == Some(nonce)
            && !self.flights.iter().any(|flight| flight.nonce == nonce)
    }

    /// Takes an ACK (no error) or a NACK. A nonce that is not under way is stale and says nothing.
    pub(crate) fn answered(
        &mut self,
        variant: Variant,
        nonce: &str,
        error: Option<String>,
        now: Instant,
    ) -> Option<Verdict> {
        let position = self.flights.iter().position(|flight| flight.nonce == nonce)?;
        let flight = match variant {
            // A state-of-the-world proxy answers only the newest of several responses.
            Variant::StateOfTheWorld => self.flights.drain(..=position).next_back(),
            Variant::Delta => self.flights.remove(position),
        }?;
        match error {
            None => {
                let Self { held, fetches, .. } = self;
                for name in flight.carried.iter().chain(&flight.removed) {
                    fetches.taken(name, held.get(name).and_then(Held::resource));
                }
                self.doubted.retain(|name| !flight.names(name));
                let complete = flight.complete && self.doubted.is_empty();
                if complete {
                    self.in_force = Some(Arc::clone(&flight.version));
                    // Where the refused version is served again after this one, that is somebody's
                    // wish.
                    self.refused = None;
                }
                Some(Verdict::Accepted { version: flight.version, complete })
            }
            Some(message) => Some(self.doubt(flight, message, now)),
        }
    }

    fn doubt(&mut self, flight: Flight, message: String, now: Instant) -> Verdict {
        let Self { held, flights, interest, fetches, .. } = self;
        let mut fetching = false;
        for name in flight.carried.iter().chain(&flight.removed) {
            let settled_later = flights.iter().any(|later| later.names(name));
            if settled_later || !interest.covers(name) {
                continue;
            }
            let resource = held.remove(name).and_then(|held| held.resource().cloned());
            fetching |= resource.as_ref().is_some_and(|it| fetches.refused(name, it, now));
            held.insert(name.clone(), Held::Doubtful(resource));
        }
        // A removal that shared its response with a bad resource is tried once more, alone.
        self.doubted.extend(flight.carried.iter().chain(&flight.removed).cloned());
        let doubted = self.doubted.clone();
        if fetching {
            let refused = Refused { version: "".into(), names: BTreeSet::new(), doubted };
            return Verdict::Fetching { refused, version: flight.version, message };
        }
        let names = if flight.carried.is_empty() { flight.removed } else { flight.carried };
        let refused = Refused { version: flight.version, names, doubted };
        self.refused = Some(refused.clone());
        Verdict::Refused { refused, message }
    }

    /// What this proxy still lacks of these resources.
    pub(crate) fn plan(&self, variant: Variant, resources: &TypeResources, now: Instant) -> Plan {
        let refused = self.refused.as_ref().filter(|it| it.version.as_ref() == resources.version());
        let mut plan = Plan { answer: self.answer, partial: refused.is_some(), ..Plan::default() };
        for (name, resource) in resources.iter().filter(|(name, _)| self.interest.covers(name)) {
            let due = self.due.contains(name);
            let wanted = match refused {
                Some(refused) => {
                    let again = due || self.fetches.is_under_way(name, resource);
                    again && !refused.names.contains(name)
                }
                None => due || !self.held.get(name).is_some_and(|held| held.is(resource.version())),
            };
            let waits_until = self.fetches.waits_until(name, resource, now);
            if wanted && waits_until.is_some() {
                plan.waits_until = waits_until.min(plan.waits_until.or(waits_until));
            } else if wanted {
                plan.upserts.push((name.to_owned(), resource.clone()));
            } else if refused.is_none() && variant == Variant::StateOfTheWorld {
                plan.rest.push((name.to_owned(), resource.clone()));
            }
        }
        let sendable = |name: &&String| {
            resources.get(name).is_none()
                && refused.is_none_or(|refused| !refused.names.contains(*name))
        };
        let gone =
            self.held.keys().chain(self.due.iter().filter(|it| !self.held.contains_key(*it)));
        plan.removed = gone.filter(sendable).cloned().collect();
        if refused.is_some() && variant == Variant::StateOfTheWorld {
            // Here a removal is told by leaving out, which would need the refused resources beside
            // it.
            plan.removed.clear();
            plan.answer = false;
        }
        if plan.waits_until.is_some() && variant == Variant::StateOfTheWorld {
            // A response tells all, so it waits for all.
            plan = Plan { waits_until: plan.waits_until, ..Plan::default() };
        }
        plan
    }

    /// The resources whose removal waits, as they were sent before.
    pub(crate) fn still_held(&self, names: &[String]) -> Vec<(String, Resource)> {
        names
            .iter()
            .filter_map(|name| Some((name.clone(), self.held.get(name)?.resource()?.clone())))
            .collect()
    }

    /// Records that this plan has been sent.
    pub(crate) fn sent(&mut self, nonce: &str, version: &str, plan: &Plan, now: Instant) {
        for (name, resource) in &plan.upserts {
            self.held.insert(name.clone(), Held::Sent(resource.clone()));
        }
        for name in &plan.removed {
            self.held.remove(name);
        }
        self.due.clear();
        self.answer = false;
        self.last_nonce = Some(nonce.to_owned());
        self.flights.push_back(Flight {
            nonce: nonce.to_owned(),
            version: version.into(),
            carried: plan.upserts.iter().chain(&plan.rest).map(|(name, _)| name.clone()).collect(),
            removed: plan.removed.iter().cloned().collect(),
            complete: !plan.partial && plan.withheld.is_empty() && plan.waits_until.is_none(),
            sent_at: now,
        });
    }

    /// When the newest unanswered response was sent.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.flights.back().map(|flight| flight.sent_at)
    }

    pub(crate) fn has_refused(&self, version: &str) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.version.as_ref() == version)
    }

    /// Notes that nothing is left to send of these resources. True where that is news.
    pub(crate) fn settle(&mut self, resources: &TypeResources) -> bool {
        let version = resources.version();
        for (name, resource) in resources.iter() {
            let held = self.held.get(name).filter(|held| held.is(resource.version()));
            if let Some(Held::Claimed(_)) = held {
                // It had accepted this on an earlier stream.
                self.fetches.taken(name, Some(resource));
            }
        }
        let news = self.flights.is_empty()
            && !self.has_refused(version)
            && self.in_force.as_deref() != Some(version);
        if news {
            self.in_force = Some(version.into());
        }
        news
    }
}
