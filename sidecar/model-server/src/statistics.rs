//! What each tenant's model versions did since the start: the protocol's statistics extension.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tenancy::{ModelName, TenantId, Version};

use crate::{assignments::Assigned, clock, execute::Timings};

/// One answered prediction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) rows: u64,
    /// Reading its body.
    pub(crate) decoded: Duration,
    pub(crate) timings: Timings,
    /// Writing its answer.
    pub(crate) encoded: Duration,
}

/// A number of times something was done, and how long that took in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Lasted {
    pub(crate) count: u64,
    pub(crate) ns: u64,
}

/// What went into predictions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Spent {
    pub(crate) success: Lasted,
    pub(crate) fail: Lasted,
    pub(crate) queue: Lasted,
    pub(crate) compute_input: Lasted,
    pub(crate) compute_infer: Lasted,
    pub(crate) compute_output: Lasted,
}

/// The counts of one model version of one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// When it last answered, in milliseconds since 1970; 0 for never.
    pub(crate) last_inference: u64,
    /// Rows answered.
    pub(crate) inference_count: u64,
    /// Requests answered.
    pub(crate) execution_count: u64,
    #[serde(rename = "inference_stats")]
    pub(crate) spent: Spent,
}

type Key = (TenantId, ModelName, Version);

/// The counts of all that is assigned.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    counts: Mutex<HashMap<Key, Counts>>,
}

impl Lasted {
    fn add(&mut self, lasted: Duration) {
        self.count += 1;
        self.ns = self.ns.saturating_add(u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl Statistics {
    /// Counts a prediction that was answered, `lasted` after it came.
    pub(crate) fn succeeded(&self, assigned: &Assigned, sample: &Sample, lasted: Duration) {
        let now_ms = clock::unix_micros() / 1000;
        let mut counts = self.lock();
        let counts = counts.entry(key(assigned)).or_default();
        counts.last_inference = now_ms;
        counts.inference_count += sample.rows;
        counts.execution_count += 1;
        let spent = &mut counts.spent;
        spent.success.add(lasted);
        spent.queue.add(sample.timings.queued);
        spent.compute_input.add(sample.decoded);
        spent.compute_infer.add(sample.timings.ran);
        spent.compute_output.add(sample.encoded);
    }

    /// Counts one that was not.
    pub(crate) fn failed(&self, assigned: &Assigned, lasted: Duration) {
        self.lock().entry(key(assigned)).or_default().spent.fail.add(lasted);
    }

    /// The counts of one model version of one tenant.
    pub(crate) fn of(&self, assigned: &Assigned) -> Counts {
        self.lock().get(&key(assigned)).copied().unwrap_or_default()
    }

    /// Forgets what is not assigned any more.
    pub(crate) fn keep<'a>(&self, assigned: impl Iterator<Item = &'a Assigned>) {
        let kept: std::collections::HashSet<Key> = assigned.map(key).collect();
        self.lock().retain(|key, _| kept.contains(key));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Counts>> {
        // Every change is a plain assignment, so a holder that died left nothing half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(assigned: &Assigned) -> Key {
    (assigned.tenant.clone(), assigned.name.clone(), assigned.version.clone())
}
