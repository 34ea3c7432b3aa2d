//! What a proxy fetches by itself before it can take a resource, such as a filter's code, and when
//! it is sent that resource again.
//!
//! Envoy 1.40 refuses a filter whose code it does not have, keeps the one before, and fetches the
//! code meanwhile. It does so in the very words in which it refuses a filter that is bad. What tells
//! the two apart is whether it has shown to have the code: it took a resource that names it, and was
//! sent none since that names another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::Resource;

/// How long after the first refusal the resource is sent again; the double of it after each further
/// one. Envoy starts another fetch where it is asked in the middle of one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long after the first refusal another one is taken for what it says: it is not the code that
/// is missing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The fetches of one proxy for the resources of one type.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    /// What it has shown to have, or had the time to fetch, by the resource that names it.
    shown: BTreeMap<String, Arc<str>>,
    under_way: BTreeMap<String, Fetch>,
}

#[derive(Debug)]
struct Fetch {
    what: Arc<str>,
    since: Instant,
    refusals: u32,
    again_at: Instant,
}

impl Fetches {
    /// The proxy took this resource.
    pub(crate) fn taken(&mut self, name: &str, resource: Option<&Resource>) {
        self.under_way.remove(name);
        match resource.and_then(Resource::fetched) {
            Some(what) => self.shown.insert(name.to_owned(), Arc::clone(what)),
            None => self.shown.remove(name),
        };
    }

    /// The proxy refused this resource. True where it may be because it has to fetch something.
    pub(crate) fn refused(&mut self, name: &str, resource: &Resource, now: Instant) -> bool {
        let Some(what) = resource.fetched() else { return false };
        if self.shown.get(name) == Some(what) {
            return false;
        }
        self.shown.remove(name);
        let before = self.under_way.remove(name).filter(|fetch| fetch.what == *what);
        let (since, refusals) = before.map_or((now, 0), |fetch| (fetch.since, fetch.refusals));
        if now >= since + PATIENCE {
            // The next refusal counts at once, whatever else of the resource has changed.
            self.shown.insert(name.to_owned(), Arc::clone(what));
            return false;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << refusals.min(16)).min(LONGEST_WAIT);
        let (what, refusals) = (Arc::clone(what), refusals + 1);
        let fetch = Fetch { what, since, refusals, again_at: now + wait };
        self.under_way.insert(name.to_owned(), fetch);
        true
    }

    /// True where this resource was refused for what it names, and not taken since.
    pub(crate) fn is_under_way(&self, name: &str, resource: &Resource) -> bool {
        self.fetch(name, resource).is_some()
    }

    /// When this resource may be sent again, where that is not yet.
    pub(crate) fn waits_until(
        &self,
        name: &str,
        resource: &Resource,
        now: Instant,
    ) -> Option<Instant> {
        self.fetch(name, resource).map(|fetch| fetch.again_at).filter(|at| *at > now)
    }

    fn fetch(&self, name: &str, resource: &Resource) -> Option<&Fetch> {
        self.under_way.get(name).filter(|fetch| Some(&fetch.what) == resource.fetched())
    }
}
