//! What tenants are given of a node, and how a data plane serves.

use std::time::Duration;

use super::report::{Report, Subject};
use crate::{
    resolved::{DeviceMemory, Memory, Serving, Share},
    spec::{MemorySpec, ServingSpec, ShareSpec},
};

const MAX_WEIGHT: u32 = 10_000;
const MAX_BATCH_WAIT_MICROS: u32 = 1_000_000;

/// What `own` says, or else `tier`, or else nobody.
pub(super) fn share(own: ShareSpec, tier: ShareSpec) -> Share {
    let default = Share::default();
    Share {
        weight: own.weight.or(tier.weight).unwrap_or(default.weight),
        priority: own.priority.or(tier.priority).unwrap_or(default.priority),
        concurrency: own.concurrency.or(tier.concurrency).unwrap_or(default.concurrency),
        waiting: own.waiting.or(tier.waiting).unwrap_or(default.waiting),
    }
}

/// What `own` says, or else `tier`, or else nobody.
pub(super) fn memory(own: MemorySpec, tier: MemorySpec) -> Memory {
    let (own_device, tier_device) =
        (own.device.unwrap_or_default(), tier.device.unwrap_or_default());
    Memory {
        floor_bytes: own.floor_bytes.or(tier.floor_bytes).unwrap_or(0),
        ceiling_bytes: own.ceiling_bytes.or(tier.ceiling_bytes),
        pinned: own.pinned.or(tier.pinned).unwrap_or(false),
        device: DeviceMemory {
            floor_bytes: own_device.floor_bytes.or(tier_device.floor_bytes).unwrap_or(0),
            ceiling_bytes: own_device.ceiling_bytes.or(tier_device.ceiling_bytes),
        },
    }
}

pub(super) fn check_memory(report: &mut Report, subject: &Subject<'_>, memory: Memory) {
    let device = memory.device;
    for (path, floor, ceiling) in [
        ("spec.memory", memory.floor_bytes, memory.ceiling_bytes),
        ("spec.memory.device", device.floor_bytes, device.ceiling_bytes),
    ] {
        if let Some(ceiling) = ceiling.filter(|ceiling| *ceiling < floor) {
            let message = format!(
                "expected a ceilingBytes of at least floorBytes, found {ceiling} below {floor}"
            );
            report.error(subject, path, message);
        }
    }
}

pub(super) fn check_share(report: &mut Report, subject: &Subject<'_>, spec: ShareSpec) {
    if spec.weight.is_some_and(|weight| !(1..=MAX_WEIGHT).contains(&weight)) {
        let message = format!("expected a weight of 1 to {MAX_WEIGHT}");
        report.error(subject, "spec.share.weight", message);
    }
    for (field, value) in [("concurrency", spec.concurrency), ("waiting", spec.waiting)] {
        if value == Some(0) {
            let message = format!(
                "expected {field} of at least 1; to shut a tenant out, say `suspended: true`"
            );
            report.error(subject, &format!("spec.share.{field}"), message);
        }
    }
}

pub(super) fn serving(report: &mut Report, subject: &Subject<'_>, spec: ServingSpec) -> Serving {
    let default = Serving::default();
    let max_batch_rows = spec.max_batch_rows.unwrap_or(default.max_batch_rows);
    if max_batch_rows == 0 {
        let message = "expected maxBatchRows of at least 1, which joins no requests".to_owned();
        report.error(subject, "spec.serving.maxBatchRows", message);
    }
    let wait = spec
        .batch_wait_micros
        .map_or(default.batch_wait, |micros| Duration::from_micros(u64::from(micros)));
    if spec.batch_wait_micros.is_some_and(|micros| micros > MAX_BATCH_WAIT_MICROS) {
        let message = format!("expected batchWaitMicros of at most {MAX_BATCH_WAIT_MICROS}");
        report.error(subject, "spec.serving.batchWaitMicros", message);
    }
    let keep = spec
        .keep_old_version_seconds
        .map_or(default.keep_old_version, |seconds| Duration::from_secs(u64::from(seconds)));
    Serving { max_batch_rows, batch_wait: wait, keep_old_version: keep }
}
