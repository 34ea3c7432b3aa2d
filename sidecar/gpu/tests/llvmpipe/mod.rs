//! The device that tests run on: the one that computes on the CPU, llvmpipe, or what
//! `BULKHEAD_TEST_DEVICE` names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{ops::Deref, sync::OnceLock, time::Duration};

use gpu::{Device, GpuBackend, Mode, Settings, driver_threads_end_within};
use inference::{Limits, cpu::CpuBackend};

/// What computes on a processor with other work takes long, and does not hang.
pub const LONG: Duration = Duration::from_secs(300);

/// What the device is called.
pub fn name() -> String {
    std::env::var("BULKHEAD_TEST_DEVICE").unwrap_or("llvmpipe".to_owned())
}

/// How the device is used.
pub fn settings() -> Settings {
    Settings {
        choice: name().parse().unwrap(),
        budget_bytes: 512 << 20,
        hang_after: LONG,
        compile_within: LONG,
        ..Settings::default()
    }
}

/// A device of a test's own. What it left to itself ends with the test, and not with the process.
#[derive(Debug)]
pub struct Own(Option<Device>);

impl Deref for Own {
    type Target = Device;

    fn deref(&self) -> &Device {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.0 = None;
        assert!(driver_threads_end_within(LONG) || std::thread::panicking(), "one is left");
    }
}

/// A device of a test's own. Without one the test says so.
pub fn open(settings: Settings) -> Option<Own> {
    // What is refused is told in the output of the test that fails by it.
    _ = tracing_subscriber::fmt()
        .with_test_writer()
        .with_max_level(tracing::Level::WARN)
        .try_init();
    match Device::open(settings) {
        Ok(device) => Some(Own(Some(device))),
        Err(error) => {
            eprintln!(
                "SKIPPED: {error}; Debian's package mesa-vulkan-drivers has one that needs no \
                 graphics card, llvmpipe. There are: {:?}",
                gpu::adapters()
            );
            None
        }
    }
}

/// A device for every test that leaves it as it is.
pub fn device() -> Option<&'static Device> {
    static DEVICE: OnceLock<Option<Own>> = OnceLock::new();
    DEVICE.get_or_init(|| open(settings())).as_deref()
}

/// Loads models that the device answers wherever it can.
pub fn backend(device: &Device) -> GpuBackend {
    GpuBackend::new(CpuBackend::new(Limits::default()), Some(device.clone()), Mode::Always)
}
