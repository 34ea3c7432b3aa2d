//! Where a model's weights are on a device, if they are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inference::{DeviceError, plan::PackedPlan};

use super::Blueprint;
use crate::{
    device::Opened,
    memory::{Family, Slot},
};

/// The place of a model's weights. It outlives the device: where that was lost, they are copied again
/// by who first asks for them after.
#[derive(Default)]
pub(super) struct Resident {
    place: Mutex<Option<Place>>,
}

/// Weights on one opening of a device.
#[derive(Clone)]
struct Place {
    generation: u64,
    slot: Arc<Slot>,
    /// Kept for as long as one of its models is there.
    _family: Arc<Family>,
}

impl Resident {
    /// Whether they were brought and not let go.
    pub(super) fn is_there(&self) -> bool {
        self.lock().is_some()
    }

    /// Where they are on `opened`, copied there where they are not.
    pub(super) fn slot(
        &self,
        opened: &Arc<Opened>,
        blueprint: &Blueprint,
        plan: &PackedPlan,
    ) -> Result<Arc<Slot>, DeviceError> {
        // Held while they are copied: whoever else needs them would copy them too.
        let mut place = self.lock();
        if let Some(place) = place.as_ref().filter(|it| it.generation == opened.generation) {
            return Ok(Arc::clone(&place.slot));
        }
        let family = opened.families.get(blueprint.family);
        let fill = |store: &crate::memory::Store, word| blueprint.fill(plan, store, word);
        let slot = Arc::new(family.slot(opened, blueprint.slot_words, fill)?);
        let generation = opened.generation;
        *place = Some(Place { generation, slot: Arc::clone(&slot), _family: family });
        Ok(slot)
    }

    pub(super) fn let_go(&self) {
        let place = self.lock().take();
        drop(place);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
