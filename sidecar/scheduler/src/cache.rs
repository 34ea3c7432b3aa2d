//! Loaded models under a budget.

use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use artifact::Mapped;
use inference::Model;
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
};

use crate::{ModelKey, index::Index};

/// How many models are loaded at once. What a load needs while it runs is not in the budget, so it
/// is bounded here.
const LOADS_AT_ONCE: usize = 2;

/// A model and the mapped file that it came from.
pub struct Loaded {
    model: Arc<dyn Model>,
    artifact: Mapped,
    private_bytes: u64,
}

impl Loaded {
    /// A model that was loaded from `artifact`.
    pub fn new(model: Arc<dyn Model>, artifact: Mapped) -> Self {
        // Asked once, so that what was added to the sums is what is taken from them.
        let private_bytes = model.private_bytes();
        Self { model, artifact, private_bytes }
    }

    /// The model.
    pub fn model(&self) -> &Arc<dyn Model> {
        &self.model
    }

    /// The file.
    pub const fn artifact(&self) -> &Mapped {
        &self.artifact
    }

    /// Bytes of its mapped file.
    pub fn mapped_bytes(&self) -> u64 {
        self.artifact.len() as u64
    }

    /// About how many bytes of memory it keeps beside its file.
    pub const fn private_bytes(&self) -> u64 {
        self.private_bytes
    }

    /// What it takes of the budget.
    pub fn bytes(&self) -> u64 {
        self.mapped_bytes().saturating_add(self.private_bytes)
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loaded({:?}, {} private bytes)", self.artifact, self.private_bytes)
    }
}

/// Why a model cannot be had. `E` is the loader's own error; every request that waited for a load
/// gets the same one.
#[derive(Debug, thiserror::Error)]
pub enum CacheError<E> {
    /// The loader failed.
    #[error("{0}")]
    Load(Arc<E>),
    /// The model alone is larger than the whole budget.
    #[error(
        "expected a model of at most {budget_bytes} bytes, the whole model memory of this node, \
         found {model_bytes}: raise the budget or serve the model elsewhere"
    )]
    TooLarge {
        /// What the model needs.
        model_bytes: u64,
        /// What there is for all models.
        budget_bytes: u64,
    },
    /// The loader panicked, or the runtime is stopping.
    #[error("the load ended without an answer: try again")]
    Abandoned,
}

impl<E> Clone for CacheError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Load(error) => Self::Load(Arc::clone(error)),
            Self::TooLarge { model_bytes, budget_bytes } => {
                Self::TooLarge { model_bytes: *model_bytes, budget_bytes: *budget_bytes }
            }
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
    /// Models that went to make room.
    pub evictions: u64,
    /// Models held now.
    pub models: u64,
    /// Bytes of their mapped files.
    pub mapped_bytes: u64,
    /// About how many bytes of memory they keep beside.
    pub private_bytes: u64,
    /// What mapped and private bytes together may be.
    pub budget_bytes: u64,
}

type Outcome<E> = Result<Arc<Loaded>, CacheError<E>>;
type Flight<E> = watch::Receiver<Option<Outcome<E>>>;

/// Models kept loaded, the least recently used out first.
///
/// A model that goes out while requests run on it stays in memory until the last of them ends:
/// each holds it by its `Arc`. The budget therefore bounds what is kept, and what is held in all
/// passes it by at most the models of requests that are running.
///
/// `E` is the error of the loader. Cloning gives another handle on the same cache.
pub struct ModelCache<E> {
    state: Arc<Mutex<State<E>>>,
    loads_at_once: Arc<Semaphore>,
}

struct State<E> {
    index: Index,
    flights: HashMap<ModelKey, Flight<E>>,
    stats: CacheStats,
}

impl<E> Clone for ModelCache<E> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), loads_at_once: Arc::clone(&self.loads_at_once) }
    }
}

impl<E> fmt::Debug for ModelCache<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelCache").field(&self.stats()).finish()
    }
}

impl<E> ModelCache<E> {
    /// An empty cache for models of `budget_bytes` together.
    pub fn new(budget_bytes: u64) -> Self {
        let index = Index::new(budget_bytes);
        let state = State { index, flights: HashMap::new(), stats: CacheStats::default() };
        Self {
            state: Arc::new(Mutex::new(state)),
            loads_at_once: Arc::new(Semaphore::new(LOADS_AT_ONCE)),
        }
    }

    /// Counters since the start, and what is held now.
    pub fn stats(&self) -> CacheStats {
        let state = lock(&self.state);
        CacheStats {
            models: state.index.len() as u64,
            mapped_bytes: state.index.mapped_bytes(),
            private_bytes: state.index.private_bytes(),
            budget_bytes: state.index.budget_bytes(),
            ..state.stats
        }
    }

    /// Whether the model under `key` is kept now.
    pub fn contains(&self, key: &ModelKey) -> bool {
        lock(&self.state).index.contains(key)
    }

    /// Drops every model whose key `is_wanted` denies, for instance when assignments change.
    /// Returns how many. Requests that run on one end undisturbed.
    pub fn retain(&self, is_wanted: impl Fn(&ModelKey) -> bool) -> usize {
        // Unmapping and freeing take time: the models go when the lock is gone.
        let dropped = lock(&self.state).index.retain(is_wanted);
        dropped.len()
    }
}

impl<E: Send + Sync + 'static> ModelCache<E> {
    /// The model under `key`, loaded by `load` on a thread that may block where it is not there.
    ///
    /// Requests for a model that is being loaded wait for that one load and get its outcome, an
    /// error too. An error is not remembered: the next request loads again. A load that was begun
    /// ends and is kept even where nobody waits for it any more.
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
            Found::Loaded(model) => return Ok(model),
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
        let mut state = lock(&self.state);
        if let Some(model) = state.index.use_now(key) {
            state.stats.hits += 1;
            return Found::Loaded(model);
        }
        if let Some(flight) = state.flights.get(key).cloned() {
            state.stats.joined += 1;
            return Found::InFlight(flight);
        }
        state.stats.loads += 1;
        let (told, flight) = watch::channel(None);
        state.flights.insert(key.clone(), flight.clone());
        let landing =
            Landing { state: Arc::clone(&self.state), key: key.clone(), told, landed: false };
        let permits = Arc::clone(&self.loads_at_once);
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
    Loaded(Arc<Loaded>),
    InFlight(Flight<E>),
}

/// The end of a load, which always comes: by [`Landing::land`], or by being dropped.
struct Landing<E> {
    state: Arc<Mutex<State<E>>>,
    key: ModelKey,
    told: watch::Sender<Option<Outcome<E>>>,
    landed: bool,
}

impl<E> Landing<E> {
    fn land(mut self, load: impl FnOnce() -> Result<Loaded, E>) {
        let outcome = match catch_unwind(AssertUnwindSafe(load)) {
            Ok(Ok(loaded)) => Ok(Arc::new(loaded)),
            Ok(Err(error)) => Err(CacheError::Load(Arc::new(error))),
            Err(_) => Err(CacheError::Abandoned),
        };
        self.conclude(outcome);
    }

    fn conclude(&mut self, outcome: Outcome<E>) {
        self.landed = true;
        let mut evicted = vec![];
        let outcome = {
            let mut state = lock(&self.state);
            let outcome = outcome.and_then(|model| {
                let (model_bytes, budget_bytes) = (model.bytes(), state.index.budget_bytes());
                if model_bytes > budget_bytes {
                    return Err(CacheError::TooLarge { model_bytes, budget_bytes });
                }
                evicted = state.index.keep(self.key.clone(), Arc::clone(&model));
                Ok(model)
            });
            state.flights.remove(&self.key);
            state.stats.evictions += evicted.len() as u64;
            state.stats.load_errors += u64::from(outcome.is_err());
            outcome
        };
        if !evicted.is_empty() {
            tracing::debug!(key = %self.key, evicted = evicted.len(), "models went to make room");
        }
        // Unmapping and freeing take time: those who wait need not wait for it.
        self.told.send_replace(Some(outcome));
        drop(evicted);
    }
}

impl<E> Drop for Landing<E> {
    fn drop(&mut self) {
        if !self.landed {
            self.conclude(Err(CacheError::Abandoned));
        }
    }
}

/// Nothing under the lock panics half-way through a change, so a poisoned lock guards whole state.
fn lock<E>(state: &Mutex<State<E>>) -> MutexGuard<'_, State<E>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
