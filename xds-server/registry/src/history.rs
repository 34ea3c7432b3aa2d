//! The change sets of a journal: what was changed together, by whom, when and why.

use jiff::Timestamp;

use crate::{
    chain::RawEntry,
    change::{Change, What},
    event::{ChangeSetCommitted, Event},
    state::Changed,
};

/// What one apply, deletion or rollback did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    /// Its last entry: the state that it made is the state at this entry.
    pub seq: u64,
    /// Its first entry.
    pub first_seq: u64,
    /// When it was committed.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// Why, in their words.
    pub message: Option<String>,
    /// The revision of the gate's table that held it first, where that was known.
    pub revision: Option<String>,
    /// For a rollback: the change set whose state holds again.
    pub rolled_back_to: Option<u64>,
    /// What changed, in words, a resource each.
    pub changes: Vec<String>,
}

impl ChangeSet {
    /// The change set that a journal entry ends, where it ends one.
    pub(crate) fn of(raw: &RawEntry) -> Result<Option<Self>, String> {
        Ok(match Event::read(&raw.kind, &raw.payload)? {
            Event::ChangeSetCommitted(event) => Some(Self::committed(raw, event)),
            _ => None,
        })
    }

    fn committed(raw: &RawEntry, event: ChangeSetCommitted) -> Self {
        let ChangeSetCommitted { first_seq, message, revision, rolled_back_to, changes } = event;
        let (seq, at, actor) = (raw.seq, raw.at(), raw.actor.clone());
        Self { seq, first_seq, at, actor, message, revision, rolled_back_to, changes }
    }
}

/// Finds the change sets that an older release wrote without saying so: entries of one transaction
/// have one time and one actor.
#[derive(Default)]
pub(crate) struct Unmarked {
    sets: Vec<ChangeSet>,
    open: Vec<Step>,
}

/// An entry that changed a resource.
struct Step {
    seq: u64,
    at: Timestamp,
    actor: String,
    changed: Changed,
}

impl Unmarked {
    /// Takes an entry that changed a resource.
    pub(crate) fn changed(&mut self, raw: &RawEntry, changed: Changed) {
        let (at, actor) = (raw.at(), raw.actor.clone());
        if self.open.last().is_some_and(|last| (last.at, &last.actor) != (at, &actor)) {
            self.end();
        }
        self.open.push(Step { seq: raw.seq, at, actor, changed });
    }

    /// Takes the entry that says that those from `first_seq` on are one change set.
    pub(crate) fn committed(&mut self, first_seq: u64) {
        self.open.retain(|step| step.seq < first_seq);
        self.end();
    }

    /// Takes any other entry, or the journal's end.
    pub(crate) fn end(&mut self) {
        let open = std::mem::take(&mut self.open);
        let (Some(first), Some(last)) = (open.first(), open.last()) else { return };
        self.sets.push(ChangeSet {
            seq: last.seq,
            first_seq: first.seq,
            at: last.at,
            actor: last.actor.clone(),
            message: None,
            revision: None,
            rolled_back_to: None,
            changes: open.iter().filter_map(Step::words).collect(),
        });
    }

    /// What was found, oldest first.
    pub(crate) fn into_sets(mut self) -> Vec<ChangeSet> {
        self.end();
        self.sets
    }
}

impl Step {
    fn words(&self) -> Option<String> {
        let change = match (&self.changed.before, &self.changed.after) {
            (before, Some(after)) => Change::between(before.as_deref(), after),
            (Some(before), None) => Change::new(before, What::Deleted),
            (None, None) => return None,
        };
        Some(change.to_string())
    }
}
