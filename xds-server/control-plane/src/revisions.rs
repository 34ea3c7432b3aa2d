//! Which revision a proxy runs, told from the versions that it has accepted.

use std::collections::{BTreeMap, VecDeque};

use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use jiff::Timestamp;
use policy_model::assignment::{NODE_ASSIGNMENT_TYPE, TENANT_ASSIGNMENT_TYPE};
use prost::Name as _;
use serde::{Deserialize, Serialize};
use xds::{ProxyStatus, Snapshot};

/// How many revisions of a group are remembered. A proxy that is further behind runs one of which
/// nothing is known any more but that it is old.
const REMEMBERED: usize = 256;

/// The revision that a proxy runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The revision, as a publish returns it. Revisions in which nothing changed for a group are
    /// in force there as soon as the first of them is, so this is the newest of those.
    pub revision: String,
    /// Since when the proxy runs what that revision says.
    pub since: Timestamp,
    /// How long ago that was, in seconds.
    pub age_seconds: u64,
    /// Whether it is what its group was sent last.
    pub newest: bool,
}

/// What the groups were sent under which revision.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    groups: BTreeMap<String, VecDeque<Sent>>,
    candidates: BTreeMap<String, Sent>,
}

#[derive(Debug, PartialEq, Eq)]
struct Sent {
    revision: String,
    /// The versions of [`POLICY_TYPES`].
    versions: Vec<String>,
}

impl Sent {
    fn of(revision: &str, snapshot: &Snapshot) -> Self {
        let versions = policy_types().map(|url| snapshot.type_version(&url).to_owned());
        Self { revision: revision.to_owned(), versions: versions.to_vec() }
    }
}

/// The types that carry policy: the filters with their tables, and sidecars' assignments.
fn policy_types() -> [String; 3] {
    [
        TypedExtensionConfig::type_url(),
        NODE_ASSIGNMENT_TYPE.to_owned(),
        TENANT_ASSIGNMENT_TYPE.to_owned(),
    ]
}

impl Revisions {
    /// Notes what a group is sent under a revision.
    pub(crate) fn note(&mut self, group: &str, revision: &str, snapshot: &Snapshot) {
        let next = Sent::of(revision, snapshot);
        let sent = self.groups.entry(group.to_owned()).or_default();
        // Where nothing changed for the group, it runs the new revision already.
        if sent.back().is_some_and(|newest| newest.versions == next.versions) {
            sent.pop_back();
        }
        sent.push_back(next);
        if sent.len() > REMEMBERED {
            sent.pop_front();
        }
    }

    /// Notes what canaries of a group are sent. The newest candidate of a group is remembered.
    pub(crate) fn note_candidate(&mut self, group: &str, revision: &str, snapshot: &Snapshot) {
        self.candidates.insert(group.to_owned(), Sent::of(revision, snapshot));
    }

    /// What a proxy runs, where that is known.
    pub(crate) fn in_force(&self, proxy: &ProxyStatus, now: Timestamp) -> Option<InForce> {
        let sent = self.groups.get(&proxy.group)?;
        let candidate = self.candidates.get(&proxy.group);
        let types = policy_types();
        let status = types.each_ref().map(|url| proxy.types.get(url));
        // One that subscribed to nothing of it runs nothing of it.
        let since = status.iter().flatten().filter_map(|it| it.in_force_since).max()?;
        let runs = |sent: &Sent| {
            sent.versions.iter().zip(&status).all(|(version, status)| {
                status.is_none_or(|status| status.in_force.as_ref() == Some(version))
            })
        };
        let mut all = sent.iter().rev().chain(candidate).enumerate();
        let (back, found) = all.find(|(_, sent)| runs(sent))?;
        let age = now.as_second().saturating_sub(since.as_second());
        Some(InForce {
            revision: found.revision.clone(),
            since,
            age_seconds: u64::try_from(age).unwrap_or(0),
            newest: back == 0,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use xds::{TypeStatus, Variant};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn table(content: &'static str) -> Snapshot {
        let url = TypedExtensionConfig::type_url();
        Snapshot::builder().resource(url, "gate", content).build()
    }

    fn proxy(runs: &Snapshot) -> ProxyStatus {
        let url = TypedExtensionConfig::type_url();
        let status = TypeStatus {
            in_force: Some(runs.type_version(&url).to_owned()),
            in_force_since: Some(at(100)),
            ..TypeStatus::default()
        };
        ProxyStatus {
            node: "ingress".to_owned(),
            group: "gateway".to_owned(),
            user_agent: String::new(),
            variant: Variant::Delta,
            connected_since: at(0),
            gone_since: None,
            types: [(url, status)].into(),
            last_refusal: None,
        }
    }

    #[test]
    fn a_proxy_runs_the_newest_revision_that_says_what_it_accepted() {
        let mut revisions = Revisions::default();
        revisions.note("gateway", "r1", &table("one"));
        revisions.note("gateway", "r2", &table("one"));
        revisions.note("gateway", "r3", &table("two"));
        let old = revisions.in_force(&proxy(&table("one")), at(160)).unwrap();
        assert_eq!((old.revision.as_str(), old.age_seconds, old.newest), ("r2", 60, false));
        let new = revisions.in_force(&proxy(&table("two")), at(160)).unwrap();
        assert_eq!((new.revision.as_str(), new.newest), ("r3", true));
    }

    #[test]
    fn of_what_was_never_sent_nothing_is_said() {
        let mut revisions = Revisions::default();
        revisions.note("gateway", "r1", &table("one"));
        assert_eq!(revisions.in_force(&proxy(&table("other")), at(160)), None);
        let silent = ProxyStatus { types: BTreeMap::new(), ..proxy(&table("one")) };
        assert_eq!(revisions.in_force(&silent, at(160)), None);
    }
}
