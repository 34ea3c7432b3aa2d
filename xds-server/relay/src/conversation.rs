//! What an Envoy and the xds-server say to each other on one stream, and what that tells of what the
//! Envoy has taken. No input or output.
//!
//! What counts is the Envoy's acknowledgement. What it refused is not remembered, and what it had
//! taken before under the same name stays.

use std::collections::{BTreeMap, VecDeque};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Sent,
};
use xds::{Resource, type_url};

use crate::resources::{Resources, received};

/// The name that stands for all resources of a type.
const WILDCARD: &str = "*";

/// A version that no resource has.
const UNKNOWN: &str = "";

/// One stream, so far.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    types: BTreeMap<String, Type>,
}

#[derive(Debug, Default)]
struct Type {
    /// The next response holds all that there is: the Envoy has asked for that, and brought nothing
    /// along.
    next_is_all: bool,
    /// There are no more of them than an Envoy reads and does not answer yet.
    unanswered: VecDeque<Offer>,
}

/// A response that is not answered yet.
#[derive(Debug)]
struct Offer {
    nonce: String,
    resources: BTreeMap<String, Resource>,
    removed: Vec<String>,
    is_all: bool,
}

impl Conversation {
    /// The xds-server sends this.
    pub(crate) fn offered(&mut self, response: &DeltaDiscoveryResponse) {
        let of_type = self.types.entry(response.type_url.clone()).or_default();
        let resource = |sent: &Sent| Some((sent.name.clone(), received(&response.type_url, sent)?));
        of_type.unanswered.push_back(Offer {
            nonce: response.nonce.clone(),
            resources: response.resources.iter().filter_map(resource).collect(),
            removed: response.removed_resources.clone(),
            is_all: std::mem::take(&mut of_type.next_is_all),
        });
    }

    /// The Envoy says this; `taken` becomes what it has taken. Returns whether that has changed.
    pub(crate) fn said(&mut self, request: &DeltaDiscoveryRequest, taken: &mut Resources) -> bool {
        let mut changed = false;
        let is_first = !self.types.contains_key(&request.type_url);
        let of_type = self.types.entry(request.type_url.clone()).or_default();
        if is_first {
            of_type.next_is_all = asks_for_all(request) && brings_nothing(request);
            changed |= let_go_what_it_has_no_more(request, taken);
        }
        let nonce = &request.response_nonce;
        let answered = of_type.unanswered.iter().position(|offer| offer.nonce == *nonce);
        let Some(offer) = answered.and_then(|at| of_type.unanswered.remove(at)) else {
            return changed;
        };
        if request.error_detail.is_none() {
            changed |= offer.take(taken.entry(request.type_url.clone()).or_default());
        }
        changed
    }
}

impl Offer {
    fn take(self, taken: &mut BTreeMap<String, Resource>) -> bool {
        let before = taken.len();
        if self.is_all {
            taken.retain(|name, _| self.resources.contains_key(name));
        }
        for name in &self.removed {
            taken.remove(name);
        }
        let mut changed = taken.len() != before;
        for (name, resource) in self.resources {
            if taken.get(&name) != Some(&resource) {
                taken.insert(name, resource);
                changed = true;
            }
        }
        changed
    }
}

/// Whether the xds-server answers this in any case: an Envoy that asks for all of a type is always
/// told.
pub(crate) fn asks_for_all(request: &DeltaDiscoveryRequest) -> bool {
    let names = &request.resource_names_subscribe;
    let says_nothing = names.is_empty() && !type_url::only_by_name(&request.type_url);
    says_nothing || names.iter().any(|name| name == WILDCARD)
}

fn brings_nothing(request: &DeltaDiscoveryRequest) -> bool {
    request.initial_resource_versions.is_empty()
}

/// An Envoy that connects again names what it has. What else was remembered has gone from it since,
/// unless it asks for it just now. Nothing follows from an Envoy that has just started.
fn let_go_what_it_has_no_more(request: &DeltaDiscoveryRequest, taken: &mut Resources) -> bool {
    if brings_nothing(request) {
        return false;
    }
    let Some(taken) = taken.get_mut(&request.type_url) else { return false };
    let before = taken.len();
    taken.retain(|name, _| {
        request.initial_resource_versions.contains_key(name)
            || request.resource_names_subscribe.contains(name)
    });
    taken.len() != before
}

/// The request as the xds-server is to be told it. What the Envoy says to hold and is not remembered
/// here goes under a version that there is not, so that it is sent again, and then remembered, or
/// removed where it has gone.
pub(crate) fn vouched_for(
    mut request: DeltaDiscoveryRequest,
    taken: Option<&Resources>,
) -> DeltaDiscoveryRequest {
    let taken = taken.and_then(|taken| taken.get(&request.type_url));
    for (name, version) in &mut request.initial_resource_versions {
        let known = taken.and_then(|taken| taken.get(name));
        if known.is_none_or(|known| known.version() != version) {
            UNKNOWN.clone_into(version);
        }
    }
    request
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
