//! Weights of models of equal plans, next to each other, so that one kernel reads those of many.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use inference::DeviceError;
use tenancy::Digest;
use wgpu::CommandEncoderDescriptor;

use super::{GRAIN_WORDS, Store, WORD_BYTES, ranges::Ranges};
use crate::device::Opened;

/// A slab grows no further than this: what is copied when it grows is bounded by it. Larger weights
/// have one for themselves.
const MOST_SHARED_BYTES: u64 = 256 << 20;
/// Weights of more bytes than this share no slab: their kernels gain nothing by being run as one.
const LARGE_BYTES: u64 = 4 << 20;

/// The families of a device, by what they have in common.
#[derive(Default)]
pub(crate) struct Families {
    by_key: Mutex<HashMap<Digest, Weak<Family>>>,
}

impl Families {
    /// The family of `key`, which is there for as long as anybody has it.
    pub(crate) fn get(&self, key: Digest) -> Arc<Family> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(family) = by_key.get(&key).and_then(Weak::upgrade) {
            return family;
        }
        by_key.retain(|_, family| family.strong_count() > 0);
        let family = Arc::default();
        by_key.insert(key, Arc::downgrade(&family));
        family
    }
}

/// Models of equal plans: the slabs that their weights are in.
#[derive(Default)]
pub(crate) struct Family {
    slabs: Mutex<Vec<Arc<Slab>>>,
}

/// Memory for the weights of several models, which may move while it grows. Places in it stay.
#[derive(Default)]
pub(crate) struct Slab {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    store: Option<Arc<Store>>,
    free: Ranges,
}

/// Words of a slab for the weights of one model: zeroed when it goes.
pub(crate) struct Slot {
    slab: Arc<Slab>,
    words: Range<u64>,
}

impl Family {
    /// Words that `fill` has written to, in the first slab that has room for them.
    pub(crate) fn slot(
        &self,
        opened: &Arc<Opened>,
        words: u64,
        fill: impl FnOnce(&Store, u64) -> Result<(), DeviceError>,
    ) -> Result<Slot, DeviceError> {
        let words = words.next_multiple_of(GRAIN_WORDS);
        let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
        slabs.retain(|it| Arc::strong_count(it) > 1 || it.lock().store.is_some());
        let is_large = words * WORD_BYTES > LARGE_BYTES;
        if !is_large {
            let most = opened.limits.binding_bytes.min(opened.buffer_bytes).min(MOST_SHARED_BYTES);
            for slab in slabs.iter() {
                let taken = slab.lock().take(opened, words, most / WORD_BYTES)?;
                if let Some(range) = taken {
                    return Slab::filled(slab, range, fill);
                }
            }
        }
        let slab = Arc::<Slab>::default();
        let range = slab.lock().take(opened, words, words)?.unwrap_or_default();
        slabs.push(Arc::clone(&slab));
        Slab::filled(&slab, range, fill)
    }
}

impl Slab {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn filled(
        slab: &Arc<Self>,
        words: Range<u64>,
        fill: impl FnOnce(&Store, u64) -> Result<(), DeviceError>,
    ) -> Result<Slot, DeviceError> {
        let start = words.start;
        // From here on what was taken is given back, whatever comes.
        let slot = Slot { slab: Arc::clone(slab), words };
        // Held while it is filled: what is written while a slab grows would not be in what it grows
        // into.
        let state = slab.lock();
        if let Some(store) = &state.store {
            let filled = fill(store, start);
            drop(state);
            filled?;
        }
        Ok(slot)
    }
}

impl State {
    /// Takes words, with more memory where that is needed and at most `most` words are enough.
    fn take(
        &mut self,
        opened: &Arc<Opened>,
        words: u64,
        most: u64,
    ) -> Result<Option<Range<u64>>, DeviceError> {
        if let Some(range) = self.free.take(words) {
            return Ok(Some(range));
        }
        let all = self.store.as_ref().map_or(0, |it| it.words);
        let needed = all + words - self.free.at_end(all);
        if needed > most && all > 0 {
            return Ok(None);
        }
        // In proportion, so that what is copied in all is too, and with no more room than for a few
        // as small as this one; or as large as it must be where there is no memory for more.
        let room = all.min((all / 8).max(64 * words));
        let roomy = (all + room).min(most).max(needed);
        let larger = Store::new(opened, roomy).or_else(|error| match error {
            DeviceError::OutOfMemory { .. } if roomy > needed => Store::new(opened, needed),
            error => Err(error),
        })?;
        if let Some(store) = &self.store {
            opened.guarded(0, |opened| {
                let mut encoder =
                    opened.device().create_command_encoder(&CommandEncoderDescriptor::default());
                let bytes = all * WORD_BYTES;
                encoder.copy_buffer_to_buffer(&store.buffer, 0, &larger.buffer, 0, bytes);
                opened.queue.submit([encoder.finish()]);
                Ok(())
            })?;
        }
        self.free.give_back(all..larger.words);
        self.store = Some(larger);
        Ok(self.free.take(words))
    }
}

impl Slot {
    /// Words for what a model changes of the weights in this slot, which `fill` has written to, in the
    /// same slab.
    pub(crate) fn beside(
        &self,
        opened: &Arc<Opened>,
        words: u64,
        fill: impl FnOnce(&Store, u64) -> Result<(), DeviceError>,
    ) -> Result<Self, DeviceError> {
        let words = words.next_multiple_of(GRAIN_WORDS);
        let limit = opened.limits.binding_bytes.min(opened.buffer_bytes);
        let taken = self.slab.lock().take(opened, words, limit / WORD_BYTES)?;
        let found = words * WORD_BYTES;
        let range = taken.ok_or(DeviceError::TooLarge { what: "slab", limit, found })?;
        Slab::filled(&self.slab, range, fill)
    }

    /// The slab that it is in: weights in one slab are read by one kernel.
    pub(crate) const fn slab(&self) -> &Arc<Slab> {
        &self.slab
    }

    /// Where it starts there.
    pub(crate) const fn start(&self) -> u64 {
        self.words.start
    }

    /// Where the weights are now. They stay there for as long as this is held.
    pub(crate) fn store(&self) -> Result<Arc<Store>, DeviceError> {
        let gone = || DeviceError::Lost { detail: "weights of a device that is gone".to_owned() };
        self.slab.lock().store.clone().ok_or_else(gone)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slab.lock();
        let Some(store) = state.store.clone() else { return };
        if let Err(error) = store.zero(self.words.start, self.words.end - self.words.start) {
            tracing::debug!(%error, "weights were not zeroed, since their device is gone");
        }
        state.free.give_back(self.words.clone());
        if state.free.are_all(store.words) {
            // The last of its models: the memory goes back, and is zeroed as a whole.
            *state = State::default();
        }
    }
}
