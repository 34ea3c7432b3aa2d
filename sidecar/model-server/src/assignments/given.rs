//! What a tenant is given, and how the node serves, as the scheduler takes it.

use std::time::Duration;

use policy_model::assignment;
use scheduler::queue::Priority;
pub(crate) use scheduler::queue::Share;

/// What a tenant is given of the memory for models of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) floor_bytes: u64,
    pub(crate) ceiling_bytes: Option<u64>,
    /// Whether its models are loaded when they are assigned, and stay.
    pub(crate) pinned: bool,
    /// Of the memory of devices.
    pub(crate) device_floor_bytes: u64,
    pub(crate) device_ceiling_bytes: Option<u64>,
}

/// How the node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) max_batch_rows: u64,
    pub(crate) batch_wait: Duration,
    pub(crate) keep_old_version: Duration,
}

impl Default for Serving {
    fn default() -> Self {
        Self { max_batch_rows: 32, batch_wait: Duration::ZERO, keep_old_version: Duration::ZERO }
    }
}

pub(super) fn share(share: assignment::Share) -> Result<Share, String> {
    let priority = match share.priority.as_str() {
        "low" => Priority::Low,
        "normal" => Priority::Normal,
        "high" => Priority::High,
        other => {
            return Err(format!(
                "expected a priority of `low`, `normal` or `high`, found `{other}`"
            ));
        }
    };
    let assignment::Share { weight, concurrency, waiting, .. } = share;
    Ok(Share { weight, priority, concurrency, waiting })
}

pub(super) const fn memory(memory: assignment::Memory) -> Memory {
    let assignment::Memory {
        floor_bytes,
        ceiling_bytes,
        pinned,
        device_floor_bytes,
        device_ceiling_bytes,
    } = memory;
    Memory { floor_bytes, ceiling_bytes, pinned, device_floor_bytes, device_ceiling_bytes }
}

pub(super) fn serving(serving: assignment::Serving) -> Serving {
    Serving {
        max_batch_rows: u64::from(serving.max_batch_rows),
        batch_wait: Duration::from_micros(serving.batch_wait_micros),
        keep_old_version: Duration::from_secs(serving.keep_old_version_seconds),
    }
}
