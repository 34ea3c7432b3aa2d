//! Which loaded models are on the device, within a budget of its memory.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use inference::OnDevice;
use tenancy::TenantId;
use tokio::{task::spawn_blocking, time::Instant};

use crate::{
    Loaded, ModelKey,
    residency::{Footprint, NoRoom, Residency, Terms},
};

/// How many failures are remembered.
const MOST_FAILURES: usize = 4096;

/// Counters since the start, and what is held now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceStats {
    /// Models that were brought.
    pub brought: u64,
    /// Models that the device did not take.
    pub refused: u64,
    /// Models that found no room beside what stays.
    pub no_room: u64,
    /// Models that went to make room.
    pub evictions: u64,
    /// Models on the device now.
    pub models: u64,
    /// Bytes of its memory that they take.
    pub held_bytes: u64,
    /// Bytes that they may take.
    pub budget_bytes: u64,
}

/// The device's part of the cache: a model is brought there when it is used and runs faster so, and goes
/// when others are worth more, as [`Residency`] says. It stays loaded here meanwhile, and answers from here
/// while it is not there, so that nobody waits for any of it.
///
/// Cloning gives another handle on the same one.
#[derive(Clone)]
pub struct DeviceCache {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    failures_last: Duration,
}

struct State {
    models: Residency<Weak<Loaded>>,
    on_their_way: HashSet<ModelKey>,
    failed: HashMap<ModelKey, Instant>,
    stats: DeviceStats,
}

impl fmt::Debug for DeviceCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeviceCache").field(&self.stats()).finish()
    }
}

impl DeviceCache {
    /// An empty one, for models that take so many bytes of the device's memory together. One that could
    /// not be brought is not tried again for as long as `failures_last`.
    pub fn new(budget_bytes: u64, failures_last: Duration) -> Self {
        let budget = Footprint { device_bytes: budget_bytes, ..Footprint::default() };
        let state = State {
            models: Residency::new(budget),
            on_their_way: HashSet::new(),
            failed: HashMap::new(),
            stats: DeviceStats { budget_bytes, ..DeviceStats::default() },
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), failures_last }) }
    }

    /// What tenants and models are granted of the device from now on.
    pub fn set_terms(&self, terms: Terms) {
        self.inner.lock().models.set_terms(terms);
    }

    /// Says that a model is used, which has it brought in the background where it should be there.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn used(&self, key: &ModelKey, loaded: &Arc<Loaded>) {
        if self.inner.is_to_be_brought(key, loaded) {
            let (inner, key, loaded) = (Arc::clone(&self.inner), key.clone(), Arc::clone(loaded));
            spawn_blocking(move || inner.bring(&key, &loaded));
        }
    }

    /// As [`DeviceCache::used`], and waits: for models that are warmed up before anybody uses them.
    /// Blocks.
    pub fn bring(&self, key: &ModelKey, loaded: &Arc<Loaded>) {
        if self.inner.is_to_be_brought(key, loaded) {
            self.inner.bring(key, loaded);
        }
    }

    /// Takes away what `is_wanted` denies.
    pub fn retain(&self, is_wanted: impl Fn(&ModelKey) -> bool) {
        let gone = {
            let mut state = self.inner.lock();
            state.failed.retain(|key, _| is_wanted(key));
            state.models.retain(is_wanted)
        };
        let_go(gone.into_iter().map(|(_, model)| model));
    }

    /// Counters since the start, and what is held now.
    pub fn stats(&self) -> DeviceStats {
        let mut state = self.inner.lock();
        state.forget_unloaded();
        DeviceStats {
            models: state.models.len() as u64,
            held_bytes: state.models.held().device_bytes,
            ..state.stats
        }
    }

    /// What each tenant's own models take of the device, in bytes.
    pub fn bytes_by_tenant(&self) -> HashMap<TenantId, u64> {
        let state = self.inner.lock();
        state.models.by_tenant().map(|(tenant, bytes)| (tenant.clone(), bytes)).collect()
    }
}

impl Inner {
    /// Nothing under the lock panics half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether whoever asks is to bring it, and nobody else is.
    fn is_to_be_brought(&self, key: &ModelKey, loaded: &Arc<Loaded>) -> bool {
        let Some(device) = loaded.model().on_device() else { return false };
        let is_wanted = device.is_wanted();
        let mut state = self.lock();
        let held = state.models.use_now(key).is_some_and(|it| it.as_ptr() == Arc::as_ptr(loaded));
        if held && is_wanted && device.is_there() {
            return false;
        }
        if !is_wanted {
            let gone = state.models.remove(key);
            drop(state);
            let_go(gone);
            return false;
        }
        state.is_tried(key) && state.on_their_way.insert(key.clone())
    }

    /// Makes room, and brings it. It counts as there while it is on its way, so that what comes at the
    /// same time finds no room that is not there.
    fn bring(&self, key: &ModelKey, loaded: &Arc<Loaded>) {
        let Some(device) = loaded.model().on_device() else { return };
        let room = self.make_room(key, loaded, device);
        let brought = room.is_ok().then(|| device.bring());
        let mut state = self.lock();
        state.on_their_way.remove(key);
        let refused = match (room, brought) {
            (Ok(()), Some(Ok(()))) => {
                state.stats.brought += 1;
                return;
            }
            (Err(no_room), _) => {
                state.stats.no_room += 1;
                tracing::debug!(%key, %no_room, "a model finds no room on the device");
                None
            }
            (Ok(()), refused) => {
                state.stats.refused += 1;
                let error = refused.and_then(Result::err);
                tracing::info!(%key, ?error, "the device does not take a model: it runs on the CPU");
                state.models.remove(key)
            }
        };
        state.remember_failure(key, self.failures_last);
        drop(state);
        let_go(refused);
    }

    fn make_room(
        &self,
        key: &ModelKey,
        loaded: &Arc<Loaded>,
        device: &dyn OnDevice,
    ) -> Result<(), NoRoom> {
        let footprint = Footprint { device_bytes: device.bytes(), ..Footprint::default() };
        let mut state = self.lock();
        state.forget_unloaded();
        // All are brought over the same bus, so what bringing one costs is in its bytes.
        let gone =
            state.models.keep(key.clone(), footprint, Duration::ZERO, Arc::downgrade(loaded))?;
        state.stats.evictions += gone.len() as u64;
        drop(state);
        let_go(gone.into_iter().map(|it| it.value));
        Ok(())
    }
}

impl State {
    /// Models that were unloaded took their memory on the device with them.
    fn forget_unloaded(&mut self) {
        self.models.retain_values(|model| model.strong_count() > 0);
    }

    fn is_tried(&self, key: &ModelKey) -> bool {
        self.failed.get(key).is_none_or(|until| *until <= Instant::now())
    }

    fn remember_failure(&mut self, key: &ModelKey, lasts: Duration) {
        let now = Instant::now();
        if self.failed.len() >= MOST_FAILURES {
            self.failed.retain(|_, until| now < *until);
        }
        if self.failed.len() < MOST_FAILURES {
            self.failed.insert(key.clone(), now + lasts);
        }
    }
}

fn let_go(models: impl IntoIterator<Item = Weak<Loaded>>) {
    for model in models.into_iter().filter_map(|model| model.upgrade()) {
        if let Some(device) = model.model().on_device() {
            device.let_go();
        }
    }
}
