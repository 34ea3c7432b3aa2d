//! Where a model's weights are on a device, if they are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inference::DeviceError;
use shaders::Part;

use super::own::Own;
use crate::{
    device::Opened,
    memory::{Family, Slab, Slot, Store},
};

/// The place of a model's weights. It outlives the device: where that was lost, they are copied again
/// by who first asks for them after.
#[derive(Default)]
pub(super) struct Resident {
    place: Mutex<Option<Arc<Place>>>,
}

/// Weights on one opening of a device.
pub(super) struct Place {
    pub(super) generation: u64,
    /// Those that are its own.
    pub(super) slot: Slot,
    /// Where those of its base are, and what its own change of them.
    pub(super) base: Option<(Arc<Place>, Own)>,
    /// Kept for as long as one of its models is there.
    pub(super) _family: Arc<Family>,
}

impl Place {
    /// The slab that they are in: weights in one slab are read by one kernel.
    pub(super) fn slab(&self) -> &Arc<Slab> {
        self.slot.slab()
    }

    pub(super) fn store(&self) -> Result<Arc<Store>, DeviceError> {
        self.slot.store()
    }

    /// So many rows of a run that are answered with these weights.
    pub(super) fn part(&self, rows: u32) -> Part<'_> {
        match &self.base {
            Some((base, own)) => own.part(rows, base.slot.start()),
            None => Part { rows, slot: self.slot.start(), ..Part::default() },
        }
    }
}

impl Resident {
    /// Whether they were brought and not let go.
    pub(super) fn is_there(&self) -> bool {
        self.lock().is_some()
    }

    /// Where they are on `opened`, brought there by `bring` where they are not.
    pub(super) fn place(
        &self,
        opened: &Arc<Opened>,
        bring: impl FnOnce() -> Result<Place, DeviceError>,
    ) -> Result<Arc<Place>, DeviceError> {
        // Held while they are copied: whoever else needs them would copy them too.
        let mut place = self.lock();
        if let Some(place) = place.as_ref().filter(|it| it.generation == opened.generation) {
            return Ok(Arc::clone(place));
        }
        let brought = Arc::new(bring()?);
        let old = place.replace(Arc::clone(&brought));
        drop(place);
        drop(old);
        Ok(brought)
    }

    pub(super) fn let_go(&self) {
        let place = self.lock().take();
        drop(place);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Place>>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
