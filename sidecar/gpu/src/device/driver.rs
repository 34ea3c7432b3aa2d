//! What a device's driver is asked, and what becomes of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use inference::DeviceError;
use wgpu::{Device, Error, ErrorFilter};

/// The driver of one opening of a device. Clones are handles on the same.
#[derive(Clone)]
pub(crate) struct Driver {
    device: Device,
    lost: Arc<OnceLock<String>>,
}

impl Driver {
    pub(super) fn new(device: Device) -> Self {
        let lost = Arc::new(OnceLock::new());
        let told = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, detail| {
            _ = told.set(format!("{reason:?}: {detail}"));
        });
        // What a scope does not catch is a fault of this crate, and must not end the process, which
        // is what wgpu does by itself.
        device.on_uncaptured_error(Arc::new(|error| {
            tracing::error!(%error, "a device's error that nobody waited for");
        }));
        Self { device, lost }
    }

    pub(crate) const fn device(&self) -> &Device {
        &self.device
    }

    /// Why it is lost, where it is.
    pub(crate) fn lost(&self) -> Option<DeviceError> {
        self.lost.get().map(|detail| DeviceError::Lost { detail: detail.clone() })
    }

    /// Takes it for lost, and says why it is: for what was seen first.
    pub(crate) fn say_lost(&self, detail: impl Into<String>) -> DeviceError {
        let detail = self.lost.get_or_init(|| detail.into()).clone();
        DeviceError::Lost { detail }
    }

    /// Does `work` with the device on this thread and gives its first error, of whatever kind. `bytes`
    /// is what it allocates, to be told where there is no memory.
    pub(crate) fn guarded<T>(
        &self,
        bytes: u64,
        work: impl FnOnce() -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        if let Some(lost) = self.lost() {
            return Err(lost);
        }
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
            let internal = self.device.push_error_scope(ErrorFilter::Internal);
            let validation = self.device.push_error_scope(ErrorFilter::Validation);
            let done = work();
            // Each is ready at once: on this side of a process errors are known when they happen.
            let errors = [
                pollster::block_on(validation.pop()),
                pollster::block_on(internal.pop()),
                pollster::block_on(memory.pop()),
            ];
            (done, errors.into_iter().flatten().next())
        }));
        // wgpu panics where a wait ends by the loss of the device.
        let Ok((done, error)) = caught else {
            return Err(self.say_lost("its driver failed while it worked"));
        };
        if let Some(lost) = self.lost() {
            return Err(lost);
        }
        match error {
            None => done,
            Some(Error::OutOfMemory { .. }) => {
                let detail = "the device has no more".to_owned();
                Err(DeviceError::OutOfMemory { bytes, detail })
            }
            Some(error) => Err(DeviceError::Refused { detail: error.to_string() }),
        }
    }
}
