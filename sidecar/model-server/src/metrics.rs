//! Numbers for operators, as Prometheus text.
//!
//! Labels are bounded: codes are those of the one table of problems and of the checks in force, and
//! tenants are those that were assigned to this node, never what a request says.

use std::time::Duration;

use metering::MeterStats;
use metrics::{SharedString, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{
    BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use scheduler::CacheStats;
use tenancy::TenantId;

/// Upper bounds, in seconds: a quarter of a millisecond, doubled up to two seconds, and beyond.
const LATENCY_BUCKETS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.4, 0.512,
    1.024, 2.048, 10.0,
];

/// The counters of one sidecar. Not the process's: two sidecars in one process count apart.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

/// What is read at the moment of asking.
pub(crate) struct Stats {
    pub(crate) cache: CacheStats,
    pub(crate) meter: MeterStats,
    pub(crate) waiting: usize,
    pub(crate) tenants: usize,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&LATENCY_BUCKETS)?.build_recorder();
        let handle = recorder.handle();
        Ok(Self { recorder, handle })
    }

    /// One request, by the code of its problem or check, or `ok`.
    pub(crate) fn answered(&self, code: impl Into<SharedString>) {
        let code = code.into();
        with_local_recorder(&self.recorder, || {
            counter!("bulkhead_sidecar_requests_total", "code" => code).increment(1);
        });
    }

    /// One request that a check in shadow would have denied.
    pub(crate) fn shadowed(&self, check: &str, tenant: &TenantId) {
        with_local_recorder(&self.recorder, || {
            let (check, tenant) = (check.to_owned(), tenant.to_string());
            counter!("bulkhead_sidecar_shadow_total", "check" => check, "tenant" => tenant)
                .increment(1);
        });
    }

    /// One prediction of an assigned tenant, from the request's head to its metered answer.
    pub(crate) fn predicted(&self, tenant: &TenantId, rows: u64, latency: Duration) {
        with_local_recorder(&self.recorder, || {
            let tenant = tenant.to_string();
            histogram!("bulkhead_sidecar_infer_seconds", "tenant" => tenant.clone())
                .record(latency);
            counter!("bulkhead_sidecar_rows_total", "tenant" => tenant).increment(rows);
        });
    }

    /// Folds what was recorded into the buckets. Samples are kept one by one until then.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The text of `GET /metrics`.
    pub(crate) fn render(&self, stats: &Stats) -> String {
        with_local_recorder(&self.recorder, || {
            let Stats { cache, meter, waiting, tenants } = stats;
            let count = |name: &'static str, value: u64| counter!(name).absolute(value);
            let level = |name: &'static str, value: u64| gauge!(name).set(value as f64);
            count("bulkhead_sidecar_model_hits_total", cache.hits);
            count("bulkhead_sidecar_model_joined_total", cache.joined);
            count("bulkhead_sidecar_model_loads_total", cache.loads);
            count("bulkhead_sidecar_model_load_errors_total", cache.load_errors);
            count("bulkhead_sidecar_model_evictions_total", cache.evictions);
            level("bulkhead_sidecar_models", cache.models);
            level("bulkhead_sidecar_model_mapped_bytes", cache.mapped_bytes);
            level("bulkhead_sidecar_model_private_bytes", cache.private_bytes);
            level("bulkhead_sidecar_model_budget_bytes", cache.budget_bytes);
            count("bulkhead_sidecar_usage_appended_total", meter.appended);
            count("bulkhead_sidecar_usage_syncs_total", meter.batches);
            count("bulkhead_sidecar_usage_refused_total", meter.refused);
            count("bulkhead_sidecar_usage_failed_total", meter.failed);
            count("bulkhead_sidecar_usage_shipped_total", meter.shipped);
            count("bulkhead_sidecar_usage_ship_failures_total", meter.ship_failures);
            count("bulkhead_sidecar_usage_dead_lettered_total", meter.dead_lettered);
            level("bulkhead_sidecar_usage_backlog_events", meter.backlog_events);
            level("bulkhead_sidecar_usage_backlog_bytes", meter.backlog_bytes);
            level("bulkhead_sidecar_usage_corrupt_bytes", meter.corrupt_bytes);
            level("bulkhead_sidecar_usage_refusing", u64::from(meter.refusing.is_some()));
            level("bulkhead_sidecar_pool_waiting", *waiting as u64);
            level("bulkhead_sidecar_tenants", *tenants as u64);
        });
        self.handle.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_in_the_text() {
        let metrics = Metrics::new().unwrap();
        metrics.answered("ok");
        metrics.answered("ok");
        metrics.answered("unknown_model");
        metrics.predicted(&"org_ua".parse().unwrap(), 3, Duration::from_millis(3));
        let stats = Stats {
            cache: CacheStats { hits: 7, ..CacheStats::default() },
            meter: MeterStats { backlog_events: 2, ..MeterStats::default() },
            waiting: 4,
            tenants: 1,
        };
        let text = metrics.render(&stats);
        for line in [
            "bulkhead_sidecar_requests_total{code=\"ok\"} 2",
            "bulkhead_sidecar_requests_total{code=\"unknown_model\"} 1",
            "bulkhead_sidecar_infer_seconds_bucket{tenant=\"org_ua\",le=\"0.002\"} 0",
            "bulkhead_sidecar_infer_seconds_bucket{tenant=\"org_ua\",le=\"0.004\"} 1",
            "bulkhead_sidecar_rows_total{tenant=\"org_ua\"} 3",
            "bulkhead_sidecar_model_hits_total 7",
            "bulkhead_sidecar_usage_backlog_events 2",
            "bulkhead_sidecar_pool_waiting 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
