//! Models beyond the budget that stay mapped.
//!
//! A mapped model is pages of a file, which the operating system takes back where memory is short, and
//! takes from the file again where they are read, whether the file was mapped all the while or not. To
//! unmap it and map it again takes longer than a small model's prediction. So a model that goes for lack
//! of room stays as it is, ready for who asks next, and the operating system is told that its pages are the
//! first to take.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::{Loaded, ModelKey};

/// How many models stay mapped beyond the budget, unless it is said otherwise. Linux maps 65,530 areas
/// for a process (`vm.max_map_count`).
pub const COLD_MODELS: usize = 16_384;
/// A model that takes more memory of the process itself than this goes altogether.
const MOST_PRIVATE_BYTES: u64 = 64 << 10;
/// So long a model has to be of no use before its pages are given up.
const COLD_AFTER: Duration = Duration::from_secs(1);

/// Models that went for lack of room and are still mapped, the last that went last.
#[derive(Debug)]
pub(crate) struct Cold {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<ModelKey, Entry>,
    order: BTreeMap<u64, ModelKey>,
    next: u64,
    private_bytes: u64,
    /// Those of this number and on have pages that were not given up yet.
    untold: u64,
    is_telling: bool,
}

#[derive(Debug)]
struct Entry {
    model: Arc<Loaded>,
    load: Duration,
    number: u64,
    since: Instant,
}

impl Cold {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// Keeps what can be kept of models that go and took so long to load, within so many bytes of the
    /// process's own memory. Gives those that go altogether, of these and of earlier ones.
    pub(crate) fn keep(
        self: &Arc<Self>,
        going: Vec<(ModelKey, Arc<Loaded>, Duration)>,
        private_room: u64,
    ) -> Vec<Arc<Loaded>> {
        let mut state = self.lock();
        let mut gone = vec![];
        for (key, model, load) in going {
            gone.extend(state.take(&key).map(|it| it.model));
            if self.most > 0 && is_kept(&model) {
                state.add(key, model, load);
            } else {
                gone.push(model);
            }
        }
        while state.entries.len() > self.most || state.private_bytes > private_room {
            let Some(key) = state.order.first_key_value().map(|(_, key)| key.clone()) else {
                break;
            };
            gone.extend(state.take(&key).map(|it| it.model));
        }
        let tells = !state.is_telling && !state.order.is_empty();
        if tells && let Ok(runtime) = Handle::try_current() {
            state.is_telling = true;
            runtime.spawn(Self::tell(Arc::downgrade(self)));
        }
        gone
    }

    /// The model under `key`, which is none of these any more, and how long it took to load.
    pub(crate) fn take(&self, key: &ModelKey) -> Option<(Arc<Loaded>, Duration)> {
        self.lock().take(key).map(|it| (it.model, it.load))
    }

    pub(crate) fn get(&self, key: &ModelKey) -> Option<Arc<Loaded>> {
        self.lock().entries.get(key).map(|it| Arc::clone(&it.model))
    }

    /// Gives up every model whose key `is_wanted` denies.
    pub(crate) fn retain(&self, is_wanted: impl Fn(&ModelKey) -> bool) -> Vec<Arc<Loaded>> {
        let mut state = self.lock();
        let unwanted: Vec<ModelKey> =
            state.entries.keys().filter(|key| !is_wanted(key)).cloned().collect();
        unwanted.iter().filter_map(|key| state.take(key)).map(|it| it.model).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Gives up the pages of models that have been here for a while, as long as there are any.
    async fn tell(cold: std::sync::Weak<Self>) {
        loop {
            sleep(COLD_AFTER).await;
            let Some(cold) = cold.upgrade() else { return };
            let Some(models) = cold.lock().next_to_tell() else { return };
            let told = spawn_blocking(move || {
                for model in models {
                    if let Err(error) = model.artifact().give_up_pages() {
                        tracing::debug!(%error, ?model, "the pages of a model are not given up");
                    }
                }
            });
            if told.await.is_err() {
                return;
            }
        }
    }

    /// Nothing under the lock panics half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_kept(model: &Loaded) -> bool {
    model.artifact().is_of_a_file() && model.footprint().private_bytes <= MOST_PRIVATE_BYTES
}

impl State {
    fn add(&mut self, key: ModelKey, model: Arc<Loaded>, load: Duration) {
        let number = self.next;
        self.next += 1;
        self.private_bytes += model.footprint().private_bytes;
        self.order.insert(number, key.clone());
        self.entries.insert(key, Entry { model, load, number, since: Instant::now() });
    }

    fn take(&mut self, key: &ModelKey) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.number);
        self.private_bytes -= entry.model.footprint().private_bytes;
        Some(entry)
    }

    /// Models whose pages are to be given up now; none, and no telling any more, where all were.
    fn next_to_tell(&mut self) -> Option<Vec<Arc<Loaded>>> {
        let now = Instant::now();
        let mut models = vec![];
        let mut is_left = false;
        for (number, key) in self.order.range(self.untold..) {
            let Some(entry) = self.entries.get(key) else { continue };
            if now.duration_since(entry.since) < COLD_AFTER {
                is_left = true;
                break;
            }
            self.untold = number + 1;
            models.push(Arc::clone(&entry.model));
        }
        self.is_telling = is_left || !models.is_empty();
        self.is_telling.then_some(models)
    }
}
