//! The one way to change the journal: in turn, checked, all or nothing.

use std::sync::Arc;

use policy_model::{diagnostic::Diagnostic, resolved::Resolved};
use tokio::sync::OwnedMutexGuard;

use crate::{
    chain::RawEntry,
    change::Change,
    edit::Plan,
    error::{ApplyError, StorageError},
    event::{ChangeSetCommitted, Event},
    registry::{Head, Inner, Registry},
    sql,
    state::State,
};

/// Who makes a change, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By {
    /// Who: 1 to 256 bytes.
    pub actor: String,
    /// Why, in their words: at most 1024 bytes.
    pub message: Option<String>,
    /// The revision of the gate's table that will hold it, where it is known.
    pub revision: Option<String>,
}

/// What a change did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The newest change set: this one, or, where nothing differed, the one before.
    pub seq: u64,
    /// What became of each resource that was given.
    pub changes: Vec<Change>,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
    /// What the resources mean now.
    pub resolved: Arc<Resolved>,
    wrote: bool,
}

impl Applied {
    /// Whether anything was written.
    pub fn wrote(&self) -> bool {
        self.wrote
    }
}

/// The turn to write. Dropping it gives it up.
pub struct Turn {
    registry: Registry,
    inner: Arc<Inner>,
    head: OwnedMutexGuard<Head>,
}

impl Turn {
    pub(crate) fn new(registry: Registry, inner: Arc<Inner>, head: OwnedMutexGuard<Head>) -> Self {
        Self { registry, inner, head }
    }

    /// Commits a plan: all of it or nothing, as one change set. Where it changes nothing, nothing is
    /// written. A caller that goes away does not stop the write in its middle.
    ///
    /// # Errors
    /// [`ApplyError::Stale`] where resources were changed since it was planned;
    /// [`ApplyError::Actor`], [`ApplyError::Message`], [`ApplyError::Storage`]. Nothing was written.
    pub async fn commit(self, plan: Plan, by: By) -> Result<Applied, ApplyError> {
        const LONGEST_MESSAGE_BYTES: usize = 1024;
        let found = by.message.as_deref().map_or(0, str::len);
        if found > LONGEST_MESSAGE_BYTES {
            return Err(ApplyError::Message { found });
        }
        check_actor(&by.actor)?;
        let state = self.registry.state();
        if plan.base_seq != state.changed_seq {
            return Err(self.registry.stale(plan.base_seq, state.changed_seq).await?);
        }
        let changes = plan.words();
        let Plan { changes: given, warnings, resolved, rolled_back_to, mut events, .. } = plan;
        if events.is_empty() {
            let (seq, resolved) = (state.changed_seq, Arc::clone(&state.resolved));
            return Ok(Applied { seq, changes: given, warnings, resolved, wrote: false });
        }
        let By { actor, message, revision } = by;
        let first_seq = state.seq + 1;
        let set = ChangeSetCommitted { first_seq, message, revision, rolled_back_to, changes };
        events.push(Event::ChangeSetCommitted(set));
        let seq = self.write(actor, events, Arc::clone(&resolved)).await?;
        Ok(Applied { seq, changes: given, warnings, resolved, wrote: true })
    }

    /// Writes an event that changes no resource.
    pub(crate) async fn note(self, actor: &str, event: Event) -> Result<u64, ApplyError> {
        check_actor(actor)?;
        let resolved = Arc::clone(&self.registry.state().resolved);
        self.write(actor.to_owned(), vec![event], resolved).await
    }

    async fn write(
        self,
        actor: String,
        events: Vec<Event>,
        resolved: Arc<Resolved>,
    ) -> Result<u64, ApplyError> {
        let writing = Writing { inner: self.inner, head: self.head };
        // A task of its own: once the transaction is committed, memory must follow, even where
        // the caller has gone away meanwhile.
        let written = tokio::spawn(async move { writing.write(actor, events, resolved).await });
        written.await.map_err(|_| StorageError::Stopped)?
    }
}

fn check_actor(actor: &str) -> Result<(), ApplyError> {
    const LONGEST_ACTOR_BYTES: usize = 256;
    if actor.is_empty() || actor.len() > LONGEST_ACTOR_BYTES {
        return Err(ApplyError::Actor { found: actor.len() });
    }
    Ok(())
}

/// The one change that is being made.
struct Writing {
    inner: Arc<Inner>,
    head: OwnedMutexGuard<Head>,
}

impl Writing {
    /// Returns the last entry written.
    async fn write(
        mut self,
        actor: String,
        events: Vec<Event>,
        resolved: Arc<Resolved>,
    ) -> Result<u64, ApplyError> {
        let at = (self.inner.clock)().as_microsecond();
        let mut state = State::clone(&self.inner.state.borrow());
        let mut head = *self.head;
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            let (kind, payload) = (event.kind().to_owned(), event.payload());
            let raw = RawEntry::new(head.hash, head.seq + 1, at, actor.clone(), kind, payload);
            head = Head { seq: raw.seq, hash: raw.hash };
            // Folded from the text that is written, so that memory is what a reopening gives.
            Event::read(&raw.kind, &raw.payload)
                .and_then(|event| state.fold(raw.seq, &raw.actor, event))
                .map_err(|found| StorageError::Row {
                    place: "an entry about to be written",
                    expected: "an event that can be read back",
                    found,
                })?;
            entries.push(raw);
        }
        state.resolved = resolved;
        self.append(&entries).await?;
        *self.head = head;
        self.inner.state.send_replace(Arc::new(state));
        Ok(head.seq)
    }

    async fn append(&self, entries: &[RawEntry]) -> Result<(), StorageError> {
        let mut transaction = sql::begin(&self.inner.pool).await?;
        let (seq, hash) = sql::journal::head(&mut transaction).await?;
        if (seq, hash) != (self.head.seq, self.head.hash.to_string()) {
            return Err(StorageError::ForeignWriter { expected: self.head.seq, found: seq });
        }
        for entry in entries {
            sql::journal::append(&mut transaction, entry).await?;
        }
        Ok(transaction.commit().await?)
    }
}
