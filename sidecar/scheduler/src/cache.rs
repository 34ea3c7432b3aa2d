//! Loaded models under a budget.

use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tenancy::TenantId;
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::Instant,
};

use crate::{
    Loaded, ModelKey, Owner,
    cold::{COLD_MODELS, Cold},
    reclaim::Reclaim,
    residency::{Evicted, Footprint, NoRoom, Residency, Terms},
};

/// How many models are loaded at once. What a load needs while it runs is not in the budget, so it
/// is bounded here.
const LOADS_AT_ONCE: usize = 2;

/// How many failed loads are remembered.
const MOST_FAILURES: usize = 65_536;

/// Why a model cannot be had. `E` is the loader's own error; every request that waited for a load
/// gets the same one, and so does who asks soon after.
#[derive(Debug, thiserror::Error)]
pub enum CacheError<E> {
    /// The loader failed.
    #[error("{0}")]
    Load(Arc<E>),
    /// There is no room for it.
    #[error(transparent)]
    NoRoom(NoRoom),
    /// The loader panicked, or the runtime is stopping.
    #[error("the load ended without an answer: try again")]
    Abandoned,
}

impl<E> Clone for CacheError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Load(error) => Self::Load(Arc::clone(error)),
            Self::NoRoom(error) => Self::NoRoom(*error),
            Self::Abandoned => Self::Abandoned,
        }
    }
}

/// Counters since the start, and what is held now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Requests that found their model loaded.
    pub hits: u64,
    /// Requests that waited for a load that another request had begun.
    pub joined: u64,
    /// Loads that were begun.
    pub loads: u64,
    /// Loads that gave no model.
    pub load_errors: u64,
    /// Requests that were told of an earlier load's failure.
    pub spared: u64,
    /// Models that went to make room.
    pub evictions: u64,
    /// Requests that found a model that had gone and was still mapped.
    pub revivals: u64,
    /// Models held now.
    pub models: u64,
    /// Models that went and are still mapped.
    pub cold: u64,
    /// What they take.
    pub held: Footprint,
    /// What they may take together.
    pub budget: Footprint,
}

/// The same of one owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnerStats {
    /// Loads that were begun.
    pub loads: u64,
    /// Models that went to make room.
    pub evictions: u64,
    /// What its models take now, in bytes of all kinds.
    pub held_bytes: u64,
}

/// Where a model is.
#[derive(Debug)]
pub enum Presence<E> {
    /// Loaded.
    Loaded(Arc<Loaded>),
    /// On its way.
    Loading,
    /// Its load failed not long ago.
    Failed(CacheError<E>),
    /// Nowhere.
    Absent,
}

type Outcome<E> = Result<Arc<Loaded>, CacheError<E>>;
type Flight<E> = watch::Receiver<Option<Outcome<E>>>;

/// Models kept loaded, as [`Residency`] says which.
///
/// A model that goes to make room, and that runs from its file, stays mapped for who asks for it next, and
/// counts no more: its pages are the operating system's to take ([`COLD_MODELS`]).
///
/// A model that goes out while requests run on it stays in memory until the last of them ends:
/// each holds it by its `Arc`. The budget therefore bounds what is kept, and what is held in all
/// passes it by at most the models of requests that are running.
///
/// `E` is the error of the loader. Cloning gives another handle on the same cache.
pub struct ModelCache<E> {
    inner: Arc<Inner<E>>,
}

struct Inner<E> {
    state: Mutex<State<E>>,
    loads_at_once: Arc<Semaphore>,
    failures_last: Duration,
    reclaim: Arc<Reclaim>,
    cold: Arc<Cold>,
}

struct State<E> {
    models: Residency<Arc<Loaded>>,
    flights: HashMap<ModelKey, Flight<E>>,
    failed: HashMap<ModelKey, (Instant, CacheError<E>)>,
    stats: CacheStats,
    by_owner: HashMap<Owner, OwnerStats>,
}

impl<E> Clone for ModelCache<E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<E> fmt::Debug for ModelCache<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelCache").field(&self.stats()).finish()
    }
}

impl<E> ModelCache<E> {
    /// An empty cache for models that take `budget` together. A load that failed is not tried again
    /// for as long as `failures_last`.
    pub fn new(budget: Footprint, failures_last: Duration) -> Self {
        Self::with_cold(budget, failures_last, COLD_MODELS)
    }

    /// As [`ModelCache::new`], with at most `cold_models` beyond the budget that stay mapped.
    pub fn with_cold(budget: Footprint, failures_last: Duration, cold_models: usize) -> Self {
        let state = State {
            models: Residency::new(budget),
            flights: HashMap::new(),
            failed: HashMap::new(),
            stats: CacheStats::default(),
            by_owner: HashMap::new(),
        };
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                loads_at_once: Arc::new(Semaphore::new(LOADS_AT_ONCE)),
                failures_last,
                reclaim: Arc::default(),
                cold: Arc::new(Cold::new(cold_models)),
            }),
        }
    }

    /// Counters since the start, and what is held now.
    pub fn stats(&self) -> CacheStats {
        let state = self.inner.lock();
        CacheStats {
            models: state.models.len() as u64,
            cold: self.inner.cold.len() as u64,
            held: state.models.held(),
            budget: state.models.budget(),
            ..state.stats
        }
    }

    /// The same by owner.
    pub fn stats_by_owner(&self) -> HashMap<Owner, OwnerStats> {
        let state = self.inner.lock();
        let mut stats = state.by_owner.clone();
        let mut of_tenants = 0;
        for (tenant, bytes) in state.models.by_tenant() {
            of_tenants += bytes;
            stats.entry(Owner::Tenant(tenant.clone())).or_default().held_bytes = bytes;
        }
        let pooled = state.models.held().bytes().saturating_sub(of_tenants);
        stats.entry(Owner::Pool).or_default().held_bytes = pooled;
        stats
    }

    /// What tenants and models are granted from now on.
    pub fn set_terms(&self, terms: Terms) {
        self.inner.lock().models.set_terms(terms);
    }

    /// Forgets the counters of owners that `is_known` denies and that hold nothing.
    pub fn retain_owners(&self, is_known: impl Fn(&TenantId) -> bool) {
        let mut state = self.inner.lock();
        state.by_owner.retain(|owner, _| match owner {
            Owner::Pool => true,
            Owner::Tenant(tenant) => is_known(tenant),
        });
    }

    /// Where the model under `key` is. This is no use of it.
    pub fn presence(&self, key: &ModelKey) -> Presence<E> {
        let state = self.inner.lock();
        if let Some(model) = state.models.get(key) {
            Presence::Loaded(Arc::clone(model))
        } else if let Some(model) = self.inner.cold.get(key) {
            Presence::Loaded(model)
        } else if state.flights.contains_key(key) {
            Presence::Loading
        } else {
            state.failure(key).map_or(Presence::Absent, Presence::Failed)
        }
    }

    /// Drops every model whose key `is_wanted` denies, for instance when assignments change, and
    /// forgets what failed of others. Returns how many. Requests that run on one end undisturbed.
    pub fn retain(&self, is_wanted: impl Fn(&ModelKey) -> bool) -> usize {
        let (dropped, cold) = {
            let mut state = self.inner.lock();
            state.failed.retain(|key, _| is_wanted(key));
            (state.models.retain(&is_wanted), self.inner.cold.retain(&is_wanted))
        };
        // Unmapping and freeing take time: the models go when the lock is gone.
        dropped.len() + cold.len()
    }
}

impl<E: Send + Sync + 'static> ModelCache<E> {
    /// The model under `key`, loaded by `load` on a thread that may block where it is not there.
    ///
    /// Requests for a model that is being loaded wait for that one load and get its outcome, an
    /// error too, which is also told to who asks soon after. A load that was begun ends and is kept
    /// even where nobody waits for it any more.
    ///
    /// # Errors
    /// [`CacheError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn get_or_load<F>(&self, key: &ModelKey, load: F) -> Outcome<E>
    where
        F: FnOnce() -> Result<Loaded, E> + Send + 'static,
    {
        let mut flight = match self.find_or_begin(key, load) {
            Found::Known(outcome) => return outcome,
            Found::InFlight(flight) => flight,
        };
        match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(CacheError::Abandoned)),
            Err(_) => Err(CacheError::Abandoned),
        }
    }

    fn find_or_begin<F>(&self, key: &ModelKey, load: F) -> Found<E>
    where
        F: FnOnce() -> Result<Loaded, E> + Send + 'static,
    {
        // Before the lock, and so dropped after it: what goes altogether is unmapped then.
        let mut gone = vec![];
        let mut state = self.inner.lock();
        if let Some(model) = state.models.use_now(key).cloned() {
            state.stats.hits += 1;
            return Found::Known(Ok(model));
        }
        if let Some(model) = self.inner.revive(&mut state, key, &mut gone) {
            return Found::Known(Ok(model));
        }
        if let Some(flight) = state.flights.get(key).cloned() {
            state.stats.joined += 1;
            return Found::InFlight(flight);
        }
        if let Some(error) = state.failure(key) {
            state.stats.spared += 1;
            return Found::Known(Err(error));
        }
        state.stats.loads += 1;
        state.count(key.owner(), |stats| stats.loads += 1);
        let (told, flight) = watch::channel(None);
        state.flights.insert(key.clone(), flight.clone());
        let landing =
            Landing { inner: Arc::clone(&self.inner), key: key.clone(), told, landed: false };
        let permits = Arc::clone(&self.inner.loads_at_once);
        // A task of its own: the request that began the load may go away, those that wait stay.
        tokio::spawn(async move {
            let _permit = permits.acquire_owned().await;
            // A runtime that is stopping drops the closure, and with it the landing, which tells.
            let _ = spawn_blocking(move || landing.land(load)).await;
        });
        Found::InFlight(flight)
    }
}

enum Found<E> {
    Known(Outcome<E>),
    InFlight(Flight<E>),
}

impl<E> State<E> {
    fn count(&mut self, owner: &Owner, add: impl FnOnce(&mut OwnerStats)) {
        match self.by_owner.get_mut(owner) {
            Some(stats) => add(stats),
            None => add(self.by_owner.entry(owner.clone()).or_default()),
        }
    }

    fn failure(&self, key: &ModelKey) -> Option<CacheError<E>> {
        let (until, error) = self.failed.get(key)?;
        (Instant::now() < *until).then(|| error.clone())
    }

    fn remember(&mut self, key: &ModelKey, until: Instant, error: CacheError<E>) {
        if self.failed.len() >= MOST_FAILURES {
            let now = Instant::now();
            self.failed.retain(|_, (until, _)| now < *until);
        }
        if self.failed.len() < MOST_FAILURES {
            self.failed.insert(key.clone(), (until, error));
        }
    }
}

impl<E> Inner<E> {
    /// Nothing under the lock panics half-way through a change, so a poisoned lock guards whole
    /// state.
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A model that went and is still mapped, held again; none where there is no room for it now. What
    /// goes for it altogether goes into `gone`.
    fn revive(
        &self,
        state: &mut State<E>,
        key: &ModelKey,
        gone: &mut Vec<Arc<Loaded>>,
    ) -> Option<Arc<Loaded>> {
        let (model, load) = self.cold.take(key)?;
        match state.models.keep(key.clone(), model.footprint(), load, Arc::clone(&model)) {
            Ok(evicted) => {
                state.stats.revivals += 1;
                gone.extend(self.went(state, evicted));
                Some(model)
            }
            Err(_) => {
                gone.push(model);
                None
            }
        }
    }

    /// Takes note of models that went, and gives those that go altogether.
    fn went(&self, state: &mut State<E>, evicted: Vec<Evicted<Arc<Loaded>>>) -> Vec<Arc<Loaded>> {
        state.stats.evictions += evicted.len() as u64;
        for it in &evicted {
            state.count(it.key.owner(), |stats| stats.evictions += 1);
        }
        let (held, budget) = (state.models.held(), state.models.budget());
        let room = budget.private_bytes.saturating_sub(held.private_bytes);
        self.cold.keep(evicted.into_iter().map(|it| (it.key, it.value, it.load)).collect(), room)
    }
}

/// The end of a load, which always comes: by [`Landing::land`], or by being dropped.
struct Landing<E> {
    inner: Arc<Inner<E>>,
    key: ModelKey,
    told: watch::Sender<Option<Outcome<E>>>,
    landed: bool,
}

impl<E> Landing<E> {
    fn land(mut self, load: impl FnOnce() -> Result<Loaded, E>) {
        let from = Instant::now();
        let outcome = match catch_unwind(AssertUnwindSafe(load)) {
            Ok(Ok(loaded)) => Ok(Arc::new(loaded.reclaimed_by(&self.inner.reclaim))),
            Ok(Err(error)) => Err(CacheError::Load(Arc::new(error))),
            Err(_) => Err(CacheError::Abandoned),
        };
        self.conclude(outcome, from.elapsed());
    }

    fn conclude(&mut self, outcome: Outcome<E>, took: Duration) {
        self.landed = true;
        let (mut count, mut gone) = (0, vec![]);
        let outcome = {
            let mut state = self.inner.lock();
            let outcome = outcome.and_then(|model| {
                let (key, footprint) = (self.key.clone(), model.footprint());
                let kept = state.models.keep(key, footprint, took, Arc::clone(&model));
                let evicted = kept.map_err(CacheError::NoRoom)?;
                count = evicted.len();
                gone = self.inner.went(&mut state, evicted);
                Ok(model)
            });
            state.flights.remove(&self.key);
            match &outcome {
                Ok(_) => _ = state.failed.remove(&self.key),
                Err(error) => {
                    state.stats.load_errors += 1;
                    let until = Instant::now() + self.inner.failures_last;
                    state.remember(&self.key, until, error.clone());
                }
            }
            outcome
        };
        // Those who wait need not wait for what goes.
        self.told.send_replace(Some(outcome));
        drop(gone);
        if count > 0 {
            tracing::debug!(key = %self.key, evicted = count, "models went to make room");
        }
    }
}

impl<E> Drop for Landing<E> {
    fn drop(&mut self) {
        if !self.landed {
            self.conclude(Err(CacheError::Abandoned), Duration::ZERO);
        }
    }
}
