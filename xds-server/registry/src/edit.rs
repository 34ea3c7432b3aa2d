//! What somebody wants to change, and what would come of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use policy_model::{
    compile::{Compiled, compile},
    diagnostic::{Diagnostic, Diagnostics},
    resolved::Resolved,
    spec::{Kind, Resource},
};

use crate::{
    change::{Change, What},
    error::ApplyError,
    event::{Event, ResourceApplied, ResourceDeleted},
    state::State,
};

/// What somebody wants to change.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Create and change resources.
    Apply {
        /// The resources, whole.
        resources: Vec<Resource>,
        /// Whether to delete what is not among them. What shipped with the release and was not
        /// changed since stays all the same.
        prune: bool,
    },
    /// Delete a resource that nothing refers to.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// Let the resources of an earlier change set hold again.
    Rollback {
        /// That change set, by any entry from its last to the one before the next.
        to_seq: u64,
    },
}

/// A change that was checked and can be committed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The newest change set when it was planned; with a newer one it cannot be committed.
    pub base_seq: u64,
    /// What becomes of each resource that was given or is changed.
    pub changes: Vec<Change>,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
    /// What the resources mean without it.
    pub before: Arc<Resolved>,
    /// What they mean with it.
    pub resolved: Arc<Resolved>,
    /// For a rollback: the change set whose state is to hold again.
    pub rolled_back_to: Option<u64>,
    pub(crate) events: Vec<Event>,
}

impl Plan {
    /// Whether committing it would write anything.
    pub fn changes_something(&self) -> bool {
        !self.events.is_empty()
    }

    /// What it changes, in words, a resource each.
    pub fn words(&self) -> Vec<String> {
        let changed = self.changes.iter().filter(|change| change.what != What::Unchanged);
        changed.map(ToString::to_string).collect()
    }

    fn new(state: &State, whole: &[Resource]) -> Result<Self, Diagnostics> {
        let Compiled { resolved, warnings } = compile(whole)?;
        Ok(Self {
            base_seq: state.changed_seq,
            changes: Vec::new(),
            warnings,
            before: Arc::clone(&state.resolved),
            resolved: Arc::new(resolved),
            rolled_back_to: None,
            events: Vec::new(),
        })
    }

    fn apply(&mut self, state: &State, resource: &Resource) {
        let before = state.resource(resource.kind(), resource.name());
        let change = Change::between(before.map(AsRef::as_ref), resource);
        if change.what != What::Unchanged {
            let resource = resource.to_json();
            self.events.push(Event::ResourceApplied(ResourceApplied { resource }));
        }
        self.changes.push(change);
    }

    fn delete(&mut self, resource: &Resource) {
        let (kind, name) = (resource.kind(), resource.name().to_owned());
        self.events.push(Event::ResourceDeleted(ResourceDeleted { kind, name }));
        self.changes.push(Change::new(resource, What::Deleted));
    }
}

pub(crate) fn apply(
    state: &State,
    resources: &[Resource],
    prune: bool,
) -> Result<Plan, ApplyError> {
    if prune && resources.is_empty() {
        return Err(ApplyError::NothingToKeep);
    }
    let given: BTreeSet<(Kind, &str)> =
        resources.iter().map(|resource| (resource.kind(), resource.name())).collect();
    let others = state.resources.values().filter(|it| !given.contains(&(it.kind(), it.name())));
    let (gone, kept): (Vec<_>, Vec<_>) =
        others.partition(|it| prune && !state.is_as_shipped(it.kind(), it.name()));
    // The given ones as they were given, so that one given twice is reported.
    let mut whole: Vec<Resource> = kept.into_iter().map(|it| it.as_ref().clone()).collect();
    whole.extend_from_slice(resources);
    let mut plan = Plan::new(state, &whole).map_err(ApplyError::Refused)?;
    for resource in resources {
        plan.apply(state, resource);
    }
    for resource in gone {
        plan.delete(resource);
    }
    Ok(plan)
}

pub(crate) fn delete(state: &State, kind: Kind, name: &str) -> Result<Plan, ApplyError> {
    let Some(resource) = state.resource(kind, name) else {
        return Err(ApplyError::NotFound { resource: format!("{}/{name}", kind.as_str()) });
    };
    let rest: Vec<Resource> = state
        .resources
        .values()
        .filter(|other| (other.kind(), other.name()) != (kind, name))
        .map(|other| other.as_ref().clone())
        .collect();
    let mut plan = Plan::new(state, &rest).map_err(|it| ApplyError::Refused(still_needed(it)))?;
    plan.delete(resource);
    Ok(plan)
}

/// `target` is the state of an earlier entry; it need not compile by today's rules, and is refused
/// where it does not.
pub(crate) fn rollback(state: &State, target: &State) -> Result<Plan, ApplyError> {
    let whole: Vec<Resource> = target.resources.values().map(|it| it.as_ref().clone()).collect();
    let mut plan = Plan::new(state, &whole)
        .map_err(|diagnostics| ApplyError::Outdated { seq: target.seq, diagnostics })?;
    plan.rolled_back_to = Some(target.seq);
    let mut now: BTreeMap<_, _> = state.resources.iter().collect();
    for (key, resource) in &target.resources {
        now.remove(key);
        plan.apply(state, resource);
    }
    for resource in now.into_values() {
        plan.delete(resource);
    }
    plan.changes.retain(|change| change.what != What::Unchanged);
    Ok(plan)
}

/// What is left was sound before, so every mistake in it comes from the deletion.
fn still_needed(mut diagnostics: Diagnostics) -> Diagnostics {
    for diagnostic in &mut diagnostics.0 {
        diagnostic.message.push_str("; it would be left behind by the deletion");
    }
    diagnostics
}
