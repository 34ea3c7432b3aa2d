//! Numbers for operators, as Prometheus text.
//!
//! Labels are bounded: codes are those of the one table of problems and of the checks in force, and
//! tenants are those that were assigned to this node, never what a request says.

use std::{collections::HashMap, time::Duration};

use metering::MeterStats;
use metrics::{SharedString, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use scheduler::{CacheStats, DeviceStats, Executed, Owner, OwnerStats};
use tenancy::TenantId;

/// Upper bounds, in seconds: a quarter of a millisecond, doubled up to two seconds, and beyond.
const LATENCY_BUCKETS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.4, 0.512,
    1.024, 2.048, 10.0,
];

/// Upper bounds, in rows.
const ROW_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

const BATCH_ROWS: &str = "bulkhead_sidecar_batch_rows";

/// How the models that tenants share are labelled, beside tenants' names: no tenant has such a one.
const POOL: &str = "(pool)";

/// The counters of one sidecar. Not the process's: two sidecars in one process count apart.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

/// What is read at the moment of asking.
pub(crate) struct Stats {
    pub(crate) cache: CacheStats,
    pub(crate) device: Option<DeviceStats>,
    pub(crate) meter: MeterStats,
    pub(crate) by_owner: HashMap<Owner, OwnerStats>,
    pub(crate) waiting: usize,
    pub(crate) waiting_bytes: u64,
    pub(crate) running: usize,
    pub(crate) tenants: usize,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, BuildError> {
        let rows = Matcher::Full(BATCH_ROWS.to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets(&LATENCY_BUCKETS)?
            .set_buckets_for_metric(rows, &ROW_BUCKETS)?
            .build_recorder();
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

    /// One execution that a tenant's request was in.
    pub(crate) fn executed<A>(&self, tenant: &TenantId, executed: &Executed<A>) {
        with_local_recorder(&self.recorder, || {
            let tenant = tenant.to_string();
            histogram!("bulkhead_sidecar_queue_seconds", "tenant" => tenant.clone())
                .record(executed.waited);
            histogram!("bulkhead_sidecar_execution_seconds", "tenant" => tenant.clone())
                .record(executed.cost);
            histogram!(BATCH_ROWS, "tenant" => tenant).record(executed.rows as f64);
        });
    }

    /// One request of an assigned tenant that was not executed.
    pub(crate) fn refused(&self, tenant: &TenantId, reason: &'static str) {
        with_local_recorder(&self.recorder, || {
            let tenant = tenant.to_string();
            counter!("bulkhead_sidecar_refused_total", "tenant" => tenant, "reason" => reason)
                .increment(1);
        });
    }

    /// Folds what was recorded into the buckets. Samples are kept one by one until then.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The text of `GET /metrics`.
    pub(crate) fn render(&self, stats: &Stats) -> String {
        with_local_recorder(&self.recorder, || {
            let Stats { cache, device, by_owner, meter, waiting, waiting_bytes, running, tenants } =
                stats;
            by_owner.iter().for_each(|(owner, stats)| of_owner(owner, stats));
            let count = |name: &'static str, value: u64| counter!(name).absolute(value);
            let level = |name: &'static str, value: u64| gauge!(name).set(value as f64);
            count("bulkhead_sidecar_model_hits_total", cache.hits);
            count("bulkhead_sidecar_model_joined_total", cache.joined);
            count("bulkhead_sidecar_model_loads_total", cache.loads);
            count("bulkhead_sidecar_model_load_errors_total", cache.load_errors);
            count("bulkhead_sidecar_model_evictions_total", cache.evictions);
            level("bulkhead_sidecar_models", cache.models);
            level("bulkhead_sidecar_models_cold", cache.cold);
            count("bulkhead_sidecar_model_revivals_total", cache.revivals);
            count("bulkhead_sidecar_model_spared_total", cache.spared);
            level("bulkhead_sidecar_model_mapped_bytes", cache.held.mapped_bytes);
            level("bulkhead_sidecar_model_private_bytes", cache.held.private_bytes);
            level("bulkhead_sidecar_model_budget_mapped_bytes", cache.budget.mapped_bytes);
            level("bulkhead_sidecar_model_budget_private_bytes", cache.budget.private_bytes);
            if let Some(device) = device {
                count("bulkhead_sidecar_device_brought_total", device.brought);
                count("bulkhead_sidecar_device_refused_total", device.refused);
                count("bulkhead_sidecar_device_no_room_total", device.no_room);
                count("bulkhead_sidecar_device_evictions_total", device.evictions);
                level("bulkhead_sidecar_device_models", device.models);
                level("bulkhead_sidecar_device_bytes", device.held_bytes);
                level("bulkhead_sidecar_device_budget_bytes", device.budget_bytes);
            }
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
            level("bulkhead_sidecar_pool_waiting_bytes", *waiting_bytes);
            level("bulkhead_sidecar_pool_running", *running as u64);
            level("bulkhead_sidecar_tenants", *tenants as u64);
        });
        self.handle.render()
    }
}

fn of_owner(owner: &Owner, stats: &OwnerStats) {
    let tenant = match owner {
        Owner::Pool => POOL.to_owned(),
        Owner::Tenant(tenant) => tenant.to_string(),
    };
    counter!("bulkhead_sidecar_tenant_model_loads_total", "tenant" => tenant.clone())
        .absolute(stats.loads);
    counter!("bulkhead_sidecar_tenant_model_evictions_total", "tenant" => tenant.clone())
        .absolute(stats.evictions);
    gauge!("bulkhead_sidecar_tenant_model_bytes", "tenant" => tenant).set(stats.held_bytes as f64);
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
        let executed = Executed {
            answer: (),
            waited: Duration::from_millis(3),
            cost: Duration::from_millis(1),
            requests: 2,
            rows: 6,
        };
        metrics.executed(&"org_ua".parse().unwrap(), &executed);
        metrics.refused(&"org_ua".parse().unwrap(), "deadline");
        let stats = Stats {
            cache: CacheStats { hits: 7, ..CacheStats::default() },
            device: Some(DeviceStats { held_bytes: 9, ..DeviceStats::default() }),
            meter: MeterStats { backlog_events: 2, ..MeterStats::default() },
            by_owner: HashMap::from([(Owner::Pool, OwnerStats { loads: 5, ..Default::default() })]),
            waiting: 4,
            waiting_bytes: 8192,
            running: 2,
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
            "bulkhead_sidecar_device_bytes 9",
            "bulkhead_sidecar_queue_seconds_bucket{tenant=\"org_ua\",le=\"0.002\"} 0",
            "bulkhead_sidecar_queue_seconds_bucket{tenant=\"org_ua\",le=\"0.004\"} 1",
            "bulkhead_sidecar_batch_rows_bucket{tenant=\"org_ua\",le=\"8\"} 1",
            "bulkhead_sidecar_refused_total{tenant=\"org_ua\",reason=\"deadline\"} 1",
            "bulkhead_sidecar_tenant_model_loads_total{tenant=\"(pool)\"} 5",
            "bulkhead_sidecar_usage_backlog_events 2",
            "bulkhead_sidecar_pool_waiting 4",
            "bulkhead_sidecar_pool_waiting_bytes 8192",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
