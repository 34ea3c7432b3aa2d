//! The registry: the journal on disk, its state in memory, and the one way to change them.

use std::{path::Path, sync::Arc};

use policy_model::spec::Resource;
use sqlx::SqlitePool;
use tenancy::Digest;
use tokio::sync::{Mutex, watch};

use crate::{
    chain::{RawEntry, Walk},
    clock::{Clock, system_clock},
    edit::{self, Edit, Plan},
    error::{ApplyError, ChainError, OpenError, PastError, StorageError},
    event::{
        ArtifactStored, CanaryEnded, CanaryOutcome, CanaryStarted, Entry, Event, RevisionPublished,
    },
    history::{ChangeSet, Unmarked},
    past::{self, PAGE, read_all},
    sql,
    state::State,
    turn::{Applied, By, Turn},
};

/// How many change sets a stale change is told of.
const TOLD: usize = 100;

/// The last entry of the journal. Keep it elsewhere to notice a journal that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 for an empty journal.
    pub seq: u64,
    /// Its hash; zeros for an empty journal.
    pub hash: Digest,
}

/// The registry. Clones share one store.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pool: SqlitePool,
    pub(crate) clock: Clock,
    /// Held while writing: there is one writer, and it knows where the journal ends.
    head: Arc<Mutex<Head>>,
    pub(crate) state: watch::Sender<Arc<State>>,
    /// The change sets of a release that did not mark them, oldest first.
    unmarked: Vec<ChangeSet>,
}

impl Registry {
    /// Opens the journal at `path`, or starts one, and folds its state. The whole chain is
    /// checked. A trial that was under way when the process before ended is noted as abandoned.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be opened, is damaged, is another store's, was written by a
    /// newer release, its chain is broken, or its resources no longer compile. The file is left
    /// as it is.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with_clock(path, system_clock()).await
    }

    /// Like [`Registry::open`], with another clock.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub async fn open_with_clock(path: impl AsRef<Path>, clock: Clock) -> Result<Self, OpenError> {
        let pool = sql::open(path.as_ref(), &sql::journal::STORE).await?;
        let (state, unmarked, head) = match fold(&pool).await {
            Ok(folded) => folded,
            Err(error) => {
                pool.close().await;
                return Err(error);
            }
        };
        let canary = state.canary;
        let (state, _) = watch::channel(Arc::new(state));
        let head = Arc::new(Mutex::new(head));
        let registry = Self { inner: Arc::new(Inner { pool, clock, head, state, unmarked }) };
        if let Some(started_seq) = canary {
            registry.abandon(started_seq).await?;
        }
        Ok(registry)
    }

    /// The state as it is now.
    pub fn state(&self) -> Arc<State> {
        self.inner.state.borrow().clone()
    }

    /// Wakes whenever the state changes.
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.inner.state.subscribe()
    }

    /// Plans a change against what holds now; nothing is written. With `expected_seq`, an entry that
    /// the caller has seen, a change that came after it makes this one stale.
    ///
    /// The whole resulting set is compiled: a set with a mistake is refused.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub async fn plan(&self, edit: &Edit, expected_seq: Option<u64>) -> Result<Plan, ApplyError> {
        let state = self.state();
        if let Some(expected) = expected_seq {
            self.check_seen(&state, expected).await?;
        }
        match edit {
            Edit::Apply { resources, prune } => edit::apply(&state, resources, *prune),
            Edit::Delete { kind, name } => edit::delete(&state, *kind, name),
            Edit::Rollback { to_seq } => edit::rollback(&state, &self.state_at(*to_seq).await?),
        }
    }

    /// Waits for the turn to write. While it is held nobody else writes, so what is planned
    /// meanwhile can be committed.
    pub async fn turn(&self) -> Turn {
        let head = Arc::clone(&self.inner.head).lock_owned().await;
        Turn::new(self.clone(), Arc::clone(&self.inner), head)
    }

    /// Creates and changes resources, all or none. What is not named stays.
    ///
    /// Where nothing differs, nothing is written. A caller that goes away does not stop a write in
    /// its middle.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was written.
    pub async fn apply(
        &self,
        actor: &str,
        resources: Vec<Resource>,
        expected_seq: Option<u64>,
    ) -> Result<Applied, ApplyError> {
        self.change(actor, &Edit::Apply { resources, prune: false }, expected_seq).await
    }

    /// Plans and commits a change.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was written.
    pub async fn change(
        &self,
        actor: &str,
        edit: &Edit,
        expected_seq: Option<u64>,
    ) -> Result<Applied, ApplyError> {
        let turn = self.turn().await;
        let plan = self.plan(edit, expected_seq).await?;
        turn.commit(plan, By { actor: actor.to_owned(), ..By::default() }).await
    }

    /// Notes that an artifact was taken into the store; returns the registry's last entry.
    /// Noting it again writes nothing.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was written.
    pub async fn artifact_stored(
        &self,
        actor: &str,
        digest: Digest,
        bytes: u64,
    ) -> Result<u64, ApplyError> {
        let turn = self.turn().await;
        let state = self.state();
        if state.artifacts.get(&digest) == Some(&bytes) {
            return Ok(state.seq);
        }
        turn.note(actor, Event::ArtifactStored(ArtifactStored { digest, bytes })).await
    }

    /// Notes the revision of the gate's table that was compiled from change set `changed_seq`, where
    /// that is still the newest and the journal does not name the revision as its newest; returns
    /// whether it was noted.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was written.
    pub async fn revision_published(
        &self,
        actor: &str,
        revision: &str,
        changed_seq: u64,
    ) -> Result<bool, ApplyError> {
        let turn = self.turn().await;
        let state = self.state();
        if state.changed_seq != changed_seq || state.revision.as_deref() == Some(revision) {
            return Ok(false);
        }
        let event = RevisionPublished { revision: revision.to_owned() };
        turn.note(actor, Event::RevisionPublished(event)).await.map(|_| true)
    }

    /// Notes that a change is being tried; returns the entry, which its end names.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was written.
    pub async fn canary_started(
        &self,
        actor: &str,
        event: CanaryStarted,
    ) -> Result<u64, ApplyError> {
        self.turn().await.note(actor, Event::CanaryStarted(event)).await
    }

    /// Notes how a trial ended.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was written.
    pub async fn canary_ended(&self, actor: &str, event: CanaryEnded) -> Result<u64, ApplyError> {
        self.turn().await.note(actor, Event::CanaryEnded(event)).await
    }

    /// The change sets before entry `before` (the newest where it is not said), newest first, at
    /// most `limit` and at most 1000.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn history(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ChangeSet>, StorageError> {
        let before = before.unwrap_or(u64::MAX);
        past::change_sets(&self.inner.pool, &self.inner.unmarked, before, limit.min(1_000)).await
    }

    /// The state at entry `seq`: that of the newest change set at or before it. Its
    /// [`State::resolved`] is empty, for it need not compile by the rules of this release.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn state_at(&self, seq: u64) -> Result<State, PastError> {
        let found = self.state().seq;
        if seq == 0 || seq > found {
            return Err(PastError::NoEntry { expected: seq, found });
        }
        past::state_at(&self.inner.pool, &self.inner.unmarked, seq).await
    }

    /// The newest entry that names a revision of the gate's table, given in full or by its first 8
    /// digits or more.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn entry_of_revision(&self, revision: &str) -> Result<u64, PastError> {
        past::revision(&self.inner.pool, revision).await
    }

    /// The entries from number `from` on, at most `limit` and at most 1000.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn journal(&self, from: u64, limit: usize) -> Result<Vec<Entry>, StorageError> {
        let limit = i64::try_from(limit).unwrap_or(PAGE).min(PAGE);
        let entries =
            sql::journal::entries(&self.inner.pool, from.saturating_sub(1), limit).await?;
        entries
            .into_iter()
            .map(|entry| entry.map(Entry::from).map_err(|error| past::unreadable(&error)))
            .collect()
    }

    /// The journal's last entry, as this process wrote or read it.
    pub async fn head(&self) -> Head {
        *self.inner.head.lock().await
    }

    /// Reads the whole journal again and checks its chain up to the entry written last.
    ///
    /// # Errors
    /// [`OpenError::Chain`] naming the entry at fault, or [`OpenError::Storage`].
    pub async fn verify_chain(&self) -> Result<Head, OpenError> {
        let head = self.inner.head.lock().await;
        let mut walk = Walk::new();
        read_all(&self.inner.pool, &mut walk, |_| Ok(())).await?;
        let (seq, hash) = walk.end();
        if (Head { seq, hash }) != *head {
            return Err(ChainError::End { expected: head.seq, found: seq }.into());
        }
        Ok(*head)
    }

    /// Keeps a text that can be fetched again and so needs no audit trail, for instance an
    /// issuer's last good keys.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn put_document(&self, name: &str, body: &str) -> Result<(), StorageError> {
        sql::journal::put_document(&self.inner.pool, name, body).await
    }

    /// A text that was kept.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn document(&self, name: &str) -> Result<Option<String>, StorageError> {
        sql::journal::document(&self.inner.pool, name).await
    }

    /// Closes the file, once what is being written is written.
    pub async fn close(&self) {
        let _head = self.inner.head.lock().await;
        self.inner.pool.close().await;
    }

    /// Whether the caller has seen the newest change.
    async fn check_seen(&self, state: &State, expected: u64) -> Result<(), ApplyError> {
        if expected > state.seq {
            return Err(ApplyError::Ahead { expected, found: state.seq });
        }
        if expected >= state.changed_seq {
            return Ok(());
        }
        Err(self.stale(expected, state.changed_seq).await?)
    }

    pub(crate) async fn stale(
        &self,
        expected: u64,
        found: u64,
    ) -> Result<ApplyError, StorageError> {
        let mut since = self.history(None, TOLD).await?;
        since.retain(|set| set.seq > expected);
        Ok(ApplyError::Stale { expected, found, since })
    }

    async fn abandon(&self, started_seq: u64) -> Result<(), OpenError> {
        let event = CanaryEnded {
            started_seq,
            outcome: CanaryOutcome::Abandoned,
            details: vec!["the control plane stopped before it ended".to_owned()],
        };
        match self.canary_ended("bulkhead", event).await {
            Ok(_) => Ok(()),
            Err(ApplyError::Storage(error)) => Err(error.into()),
            Err(other) => Err(OpenError::Entry { seq: started_seq, found: other.to_string() }),
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("seq", &self.state().seq).finish_non_exhaustive()
    }
}

/// The state at the journal's end, the change sets that are not marked, and the end.
async fn fold(pool: &SqlitePool) -> Result<(State, Vec<ChangeSet>, Head), OpenError> {
    let mut state = State::default();
    let mut unmarked = Unmarked::default();
    let mut walk = Walk::new();
    read_all(pool, &mut walk, |raw| {
        take(raw, &mut state, &mut unmarked)
            .map_err(|found| OpenError::Entry { seq: raw.seq, found })
    })
    .await?;
    state.resolve().map_err(OpenError::Refused)?;
    let (seq, hash) = walk.end();
    Ok((state, unmarked.into_sets(), Head { seq, hash }))
}

fn take(raw: &RawEntry, state: &mut State, unmarked: &mut Unmarked) -> Result<(), String> {
    let event = Event::read(&raw.kind, &raw.payload)?;
    let marks = match &event {
        Event::ChangeSetCommitted(event) => Some(event.first_seq),
        _ => None,
    };
    match (state.fold(raw.seq, &raw.actor, event)?, marks) {
        (Some(changed), _) => unmarked.changed(raw, changed),
        (None, Some(first_seq)) => unmarked.committed(first_seq),
        (None, None) => unmarked.end(),
    }
    Ok(())
}
