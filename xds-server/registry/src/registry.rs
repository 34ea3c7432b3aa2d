//! The registry: the journal on disk, its state in memory, and the one way to change them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use policy_model::{
    compile::{Compiled, compile},
    diagnostic::{Diagnostic, Diagnostics},
    resolved::Resolved,
    spec::{Kind, Resource},
};
use sqlx::SqlitePool;
use tenancy::Digest;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::{
    chain::{RawEntry, Walk},
    change::{Change, What},
    clock::{Clock, system_clock},
    error::{ApplyError, ChainError, OpenError, StorageError},
    event::{Entry, Event},
    sql,
    state::State,
};

/// How many entries are read at once.
const PAGE: i64 = 1_000;

/// The last entry of the journal. Keep it elsewhere to notice a journal that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 for an empty journal.
    pub seq: u64,
    /// Its hash; zeros for an empty journal.
    pub hash: Digest,
}

/// What an apply or a delete did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The registry's last entry now.
    pub seq: u64,
    /// What became of each resource that was given.
    pub changes: Vec<Change>,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
    /// What the resources mean now.
    pub resolved: Arc<Resolved>,
}

impl Applied {
    /// Whether anything was written.
    pub fn wrote(&self) -> bool {
        self.changes.iter().any(|change| change.what != What::Unchanged)
    }
}

/// The registry. Clones share one store.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    pool: SqlitePool,
    clock: Clock,
    /// Held while writing: there is one writer, and it knows where the journal ends.
    head: Arc<Mutex<Head>>,
    state: watch::Sender<Arc<State>>,
}

/// A change that was checked and can be written.
struct Plan {
    events: Vec<Event>,
    changes: Vec<Change>,
    compiled: Compiled,
}

impl Registry {
    /// Opens the journal at `path`, or starts one, and folds its state. The whole chain is
    /// checked.
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
        let mut state = State::default();
        let mut walk = Walk::new();
        let folded = read_all(&pool, &mut walk, |raw| {
            Event::read(&raw.kind, &raw.payload)
                .and_then(|event| state.fold(raw.seq, event))
                .map_err(|found| OpenError::Entry { seq: raw.seq, found })
        })
        .await
        .and_then(|()| state.resolve().map_err(OpenError::Refused));
        if let Err(error) = folded {
            pool.close().await;
            return Err(error);
        }
        let (seq, hash) = walk.end();
        let (state, _) = watch::channel(Arc::new(state));
        let head = Arc::new(Mutex::new(Head { seq, hash }));
        Ok(Self { inner: Arc::new(Inner { pool, clock, head, state }) })
    }

    /// The state as it is now.
    pub fn state(&self) -> Arc<State> {
        self.inner.state.borrow().clone()
    }

    /// Wakes whenever the state changes.
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.inner.state.subscribe()
    }

    /// Creates and changes resources, all or none. What is not named stays.
    ///
    /// The whole resulting set is compiled first; a set with a mistake is refused. Where nothing
    /// differs, nothing is written. A caller that goes away does not stop a write in its middle.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was written.
    pub async fn apply(
        &self,
        actor: &str,
        resources: Vec<Resource>,
        expected_seq: Option<u64>,
    ) -> Result<Applied, ApplyError> {
        self.change(actor, expected_seq, |state| plan_apply(state, &resources)).await
    }

    /// What [`Registry::apply`] would do, without doing it. `seq` is that of the state compared
    /// with.
    ///
    /// # Errors
    /// [`ApplyError::Refused`].
    pub fn diff(&self, resources: &[Resource]) -> Result<Applied, ApplyError> {
        let state = self.state();
        let plan = plan_apply(&state, resources)?;
        Ok(Applied {
            seq: state.seq,
            changes: plan.changes,
            warnings: plan.compiled.warnings,
            resolved: Arc::new(plan.compiled.resolved),
        })
    }

    /// Deletes a resource that nothing refers to.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was written.
    pub async fn delete(
        &self,
        actor: &str,
        kind: Kind,
        name: &str,
        expected_seq: Option<u64>,
    ) -> Result<Applied, ApplyError> {
        self.change(actor, expected_seq, |state| plan_delete(state, kind, name)).await
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
        let plan = |state: &State| {
            let known = state.artifacts.get(&digest) == Some(&bytes);
            let event = Event::ArtifactStored { digest, bytes };
            Ok(Plan {
                events: if known { Vec::new() } else { vec![event] },
                changes: Vec::new(),
                compiled: unchanged(state),
            })
        };
        Ok(self.change(actor, None, plan).await?.seq)
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
            .map(|entry| entry.map(Entry::from).map_err(|error| unreadable(&error)))
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

    async fn change(
        &self,
        actor: &str,
        expected_seq: Option<u64>,
        plan: impl FnOnce(&State) -> Result<Plan, ApplyError>,
    ) -> Result<Applied, ApplyError> {
        const LONGEST_ACTOR_BYTES: usize = 256;
        if actor.is_empty() || actor.len() > LONGEST_ACTOR_BYTES {
            return Err(ApplyError::Actor { found: actor.len() });
        }
        // Held from the plan to the end of the write, so that no other change comes between.
        let head = Arc::clone(&self.inner.head).lock_owned().await;
        let writing = Writing { inner: Arc::clone(&self.inner), head };
        let state = self.state();
        if let Some(expected) = expected_seq.filter(|expected| *expected != state.seq) {
            return Err(ApplyError::Stale { expected, found: state.seq });
        }
        let Plan { events, changes, compiled } = plan(&state)?;
        let Compiled { resolved, warnings } = compiled;
        if events.is_empty() {
            let resolved = Arc::clone(&state.resolved);
            return Ok(Applied { seq: state.seq, changes, warnings, resolved });
        }
        let actor = actor.to_owned();
        // A task of its own: once the transaction is committed, memory must follow, even where
        // the caller has gone away meanwhile.
        let written =
            tokio::spawn(async move { writing.write(actor, events, Arc::new(resolved)).await });
        let state = written.await.map_err(|_| StorageError::Stopped)??;
        let resolved = Arc::clone(&state.resolved);
        Ok(Applied { seq: state.seq, changes, warnings, resolved })
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("seq", &self.state().seq).finish_non_exhaustive()
    }
}

/// The one change that is being made.
struct Writing {
    inner: Arc<Inner>,
    head: OwnedMutexGuard<Head>,
}

impl Writing {
    async fn write(
        mut self,
        actor: String,
        events: Vec<Event>,
        resolved: Arc<Resolved>,
    ) -> Result<Arc<State>, ApplyError> {
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
                .and_then(|event| state.fold(raw.seq, event))
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
        let state = Arc::new(state);
        self.inner.state.send_replace(Arc::clone(&state));
        Ok(state)
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

fn plan_apply(state: &State, resources: &[Resource]) -> Result<Plan, ApplyError> {
    let given: BTreeMap<(Kind, &str), &Resource> =
        resources.iter().map(|resource| ((resource.kind(), resource.name()), resource)).collect();
    // The given ones as they were given, so that one given twice is reported.
    let kept = state.resources.values().map(AsRef::as_ref);
    let mut whole: Vec<Resource> = kept
        .filter(|resource| !given.contains_key(&(resource.kind(), resource.name())))
        .cloned()
        .collect();
    whole.extend_from_slice(resources);
    let compiled = compile(&whole).map_err(ApplyError::Refused)?;
    let mut plan = Plan { events: Vec::new(), changes: Vec::new(), compiled };
    for resource in resources {
        let before = state.resource(resource.kind(), resource.name());
        let change = Change::between(before.map(AsRef::as_ref), resource);
        if change.what != What::Unchanged {
            plan.events.push(Event::ResourceApplied { resource: resource.to_json() });
        }
        plan.changes.push(change);
    }
    Ok(plan)
}

fn plan_delete(state: &State, kind: Kind, name: &str) -> Result<Plan, ApplyError> {
    let Some(resource) = state.resource(kind, name) else {
        return Err(ApplyError::NotFound { resource: format!("{}/{name}", kind.as_str()) });
    };
    let rest: Vec<Resource> = state
        .resources
        .iter()
        .filter(|(key, _)| (key.0, key.1.as_str()) != (kind, name))
        .map(|(_, resource)| resource.as_ref().clone())
        .collect();
    Ok(Plan {
        events: vec![Event::ResourceDeleted { kind, name: name.to_owned() }],
        changes: vec![Change::new(resource, What::Deleted)],
        compiled: compile(&rest).map_err(|error| ApplyError::Refused(still_needed(error)))?,
    })
}

/// What is left was sound before, so every mistake in it comes from the deletion.
fn still_needed(mut diagnostics: Diagnostics) -> Diagnostics {
    for diagnostic in &mut diagnostics.0 {
        diagnostic.message.push_str("; it would be left behind by the deletion");
    }
    diagnostics
}

fn unchanged(state: &State) -> Compiled {
    Compiled { resolved: Resolved::clone(&state.resolved), warnings: Vec::new() }
}

/// Reads the journal page by page, checks the chain and gives each entry to `take`.
async fn read_all(
    pool: &SqlitePool,
    walk: &mut Walk,
    mut take: impl FnMut(&RawEntry) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    loop {
        let (seq, _) = walk.end();
        let page = sql::journal::entries(pool, seq, PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        for entry in page {
            let entry = entry?;
            walk.step(&entry)?;
            take(&entry)?;
        }
    }
}

fn unreadable(error: &ChainError) -> StorageError {
    StorageError::Row {
        place: "the journal",
        expected: "an entry that can be read",
        found: error.to_string(),
    }
}
