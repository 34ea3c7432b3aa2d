//! Counters, gauges and histograms that guests define.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Status;

/// The statistics of one proxy.
///
/// Like Envoy's, they belong to the process: VMs that are given clones of one handle add to the same
/// counters, and a counter that a new plugin configuration defines again goes on where it was.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    stats: Arc<Mutex<Stats>>,
}

#[derive(Debug, Default)]
struct Stats {
    by_name: BTreeMap<(MetricKind, String), Stat>,
    /// Samples that all histograms keep.
    samples: usize,
}

/// What a metric does with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Debug, Default)]
struct Stat {
    /// A counter's or gauge's value; a histogram's number of samples.
    value: u64,
    /// A histogram's first samples.
    samples: Vec<u64>,
}

/// A histogram keeps this many samples, and counts all.
const MAX_SAMPLES: usize = 65_536;
/// All histograms together keep this many.
const MAX_ALL_SAMPLES: usize = 4 * 1024 * 1024;

/// A VM defines no more than this, and its names together are no longer.
const MAX_DEFINED: usize = 65_536;
const MAX_NAME_BYTES: usize = 16 * 1024 * 1024;

impl Metrics {
    /// No metrics.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of the counter or gauge of this name, or the number of samples of the histogram.
    /// `None` where no guest has defined it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u64> {
        let stats = self.lock();
        [MetricKind::Counter, MetricKind::Gauge, MetricKind::Histogram]
            .into_iter()
            .find_map(|kind| stats.by_name.get(&(kind, name.to_owned())))
            .map(|stat| stat.value)
    }

    /// The samples of the histogram of this name, the first 65,536 of them.
    #[must_use]
    pub fn samples(&self, name: &str) -> Option<Vec<u64>> {
        self.lock()
            .by_name
            .get(&(MetricKind::Histogram, name.to_owned()))
            .map(|stat| stat.samples.clone())
    }

    fn with<R>(&self, metric: &Defined, change: impl FnOnce(&mut Stat, &mut usize) -> R) -> R {
        let mut guard = self.lock();
        let stats = &mut *guard;
        let stat = stats.by_name.entry((metric.kind, metric.name.clone())).or_default();
        change(stat, &mut stats.samples)
    }

    fn lock(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The metrics that one VM has defined, by the numbers that it knows them by.
#[derive(Debug, Default)]
pub(crate) struct DefinedMetrics {
    by_id: Vec<Defined>,
    /// Of all names.
    bytes: usize,
}

#[derive(Debug)]
struct Defined {
    kind: MetricKind,
    name: String,
}

impl MetricKind {
    pub(crate) fn from_abi(kind: u32) -> Result<Self, Status> {
        match kind {
            0 => Ok(Self::Counter),
            1 => Ok(Self::Gauge),
            2 => Ok(Self::Histogram),
            _ => Err(Status::BadArgument),
        }
    }
}

impl DefinedMetrics {
    /// Each definition gets a number of its own, also where the name was defined before.
    pub(crate) fn define(
        &mut self,
        metrics: &Metrics,
        kind: MetricKind,
        name: String,
    ) -> Result<u32, Status> {
        let bytes = self.bytes.saturating_add(name.len());
        if self.by_id.len() >= MAX_DEFINED || bytes > MAX_NAME_BYTES {
            return Err(Status::InternalFailure);
        }
        self.bytes = bytes;
        let id = u32::try_from(self.by_id.len() + 1).map_err(|_| Status::InternalFailure)?;
        let metric = Defined { kind, name };
        metrics.with(&metric, |_, _| ());
        self.by_id.push(metric);
        Ok(id)
    }

    /// Counters only grow; a histogram cannot be incremented.
    pub(crate) fn increment(&self, metrics: &Metrics, id: u32, by: i64) -> Result<(), Status> {
        let metric = self.find(id)?;
        match metric.kind {
            MetricKind::Counter if by <= 0 => Err(Status::BadArgument),
            MetricKind::Counter | MetricKind::Gauge => {
                metrics.with(metric, |stat, _| {
                    stat.value = stat.value.saturating_add_signed(by);
                });
                Ok(())
            }
            MetricKind::Histogram => Err(Status::BadArgument),
        }
    }

    /// Adds to a counter, sets a gauge, gives a histogram one sample.
    pub(crate) fn record(&self, metrics: &Metrics, id: u32, value: u64) -> Result<(), Status> {
        let metric = self.find(id)?;
        metrics.with(metric, |stat, samples| match metric.kind {
            MetricKind::Counter => stat.value = stat.value.saturating_add(value),
            MetricKind::Gauge => stat.value = value,
            MetricKind::Histogram => {
                stat.value = stat.value.saturating_add(1);
                if stat.samples.len() < MAX_SAMPLES && *samples < MAX_ALL_SAMPLES {
                    *samples += 1;
                    stat.samples.push(value);
                }
            }
        });
        Ok(())
    }

    pub(crate) fn get(&self, metrics: &Metrics, id: u32) -> Result<u64, Status> {
        let metric = self.find(id)?;
        match metric.kind {
            MetricKind::Histogram => Err(Status::BadArgument),
            MetricKind::Counter | MetricKind::Gauge => {
                Ok(metrics.with(metric, |stat, _| stat.value))
            }
        }
    }

    fn find(&self, id: u32) -> Result<&Defined, Status> {
        usize::try_from(id)
            .ok()
            .and_then(|id| self.by_id.get(id.checked_sub(1)?))
            .ok_or(Status::NotFound)
    }
}
