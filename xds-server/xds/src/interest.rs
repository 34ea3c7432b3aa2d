//! What a proxy has subscribed to, for one type on one stream.

use std::collections::BTreeSet;

use crate::type_url;

/// The name that stands for all resources of a type.
pub(crate) const WILDCARD: &str = "*";

/// What a request says about its interest.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// State-of-the-world: the whole list, each time.
    Replace(Vec<String>),
    /// Delta: names that come and names that go.
    Adjust { subscribe: Vec<String>, unsubscribe: Vec<String> },
}

/// The answer that a change of interest asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Names that must be answered even where the proxy holds the newest version: it may have
    /// dropped it.
    pub(crate) names: BTreeSet<String>,
    /// Everything that the wildcard covers must be answered, for the same reason.
    pub(crate) all: bool,
    /// An answer is owed even when there is nothing to put into it.
    pub(crate) answer: bool,
}

/// The resources of one type that a proxy wants.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    wildcard: bool,
    names: BTreeSet<String>,
    /// Once names were given, an empty list means none; before, it means all ("legacy wildcard").
    named_before: bool,
    seen: bool,
}

impl Interest {
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    pub(crate) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    pub(crate) fn apply(&mut self, type_url: &str, change: Change) -> Due {
        let first = !std::mem::replace(&mut self.seen, true);
        match change {
            Change::Replace(names) => self.replace(type_url, names),
            Change::Adjust { subscribe, unsubscribe } => {
                let legacy = first && subscribe.is_empty() && !type_url::only_by_name(type_url);
                let subscribe = if legacy { vec![WILDCARD.to_owned()] } else { subscribe };
                self.adjust(subscribe, unsubscribe)
            }
        }
    }

    fn replace(&mut self, type_url: &str, names: Vec<String>) -> Due {
        let mut names: BTreeSet<String> = names.into_iter().collect();
        let legacy = names.is_empty() && !self.named_before && !type_url::only_by_name(type_url);
        self.named_before |= !names.is_empty();
        let wildcard = names.remove(WILDCARD) || legacy;
        let due = Due {
            names: names.difference(&self.names).cloned().collect(),
            all: false,
            answer: wildcard && !self.wildcard,
        };
        self.wildcard = wildcard;
        self.names = names;
        due
    }

    fn adjust(&mut self, subscribe: Vec<String>, unsubscribe: Vec<String>) -> Due {
        let mut due = Due::default();
        for name in unsubscribe {
            if name == WILDCARD {
                self.wildcard = false;
            } else if self.names.remove(&name) && self.wildcard {
                // The proxy cannot know whether the wildcard still covers it, so it must be told.
                due.names.insert(name);
            }
        }
        for name in subscribe {
            if name == WILDCARD {
                due.answer = true;
                due.all |= std::mem::replace(&mut self.wildcard, true);
            } else {
                self.names.insert(name.clone());
                due.names.insert(name);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::type_url::{CLUSTER, ENDPOINT};

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_empty_first_list_means_all_clusters_but_no_endpoints() {
        let mut clusters = Interest::default();
        assert!(clusters.apply(CLUSTER, Change::Replace(vec![])).answer);
        assert!(clusters.covers("any"));
        let mut endpoints = Interest::default();
        assert_eq!(endpoints.apply(ENDPOINT, Change::Replace(vec![])), Due::default());
        assert!(!endpoints.covers("any"));
    }

    #[test]
    fn an_empty_list_after_names_means_none() {
        let mut clusters = Interest::default();
        clusters.apply(CLUSTER, Change::Replace(names(&["a"])));
        clusters.apply(CLUSTER, Change::Replace(vec![]));
        assert!(!clusters.covers("a") && !clusters.covers("b"));
    }

    #[test]
    fn a_longer_list_owes_only_the_new_names() {
        let mut endpoints = Interest::default();
        endpoints.apply(ENDPOINT, Change::Replace(names(&["a"])));
        let due = endpoints.apply(ENDPOINT, Change::Replace(names(&["a", "b"])));
        assert_eq!(due.names, names(&["b"]).into_iter().collect());
    }

    #[test]
    fn a_name_dropped_under_a_wildcard_is_answered() {
        let mut clusters = Interest::default();
        let subscribe = names(&["*", "a"]);
        clusters.apply(CLUSTER, Change::Adjust { subscribe, unsubscribe: vec![] });
        let change = Change::Adjust { subscribe: vec![], unsubscribe: names(&["a"]) };
        assert!(clusters.apply(CLUSTER, change).names.contains("a"));
        assert!(clusters.covers("a"));
    }

    #[test]
    fn an_empty_delta_subscription_is_the_wildcard_only_at_first() {
        let mut clusters = Interest::default();
        let nothing = || Change::Adjust { subscribe: vec![], unsubscribe: vec![] };
        assert!(clusters.apply(CLUSTER, nothing()).answer);
        assert!(clusters.covers("any"));
        assert_eq!(clusters.apply(CLUSTER, nothing()), Due::default());
        let drop = Change::Adjust { subscribe: vec![], unsubscribe: names(&["*"]) };
        clusters.apply(CLUSTER, drop);
        assert!(!clusters.covers("any"));
    }
}
