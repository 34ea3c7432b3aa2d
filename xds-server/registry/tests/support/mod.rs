//! Resources and clocks that several tests use.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;
use policy_model::spec::{Resource, parse};
use registry::Clock;

/// 2026-11-21T05:30:00Z, in seconds.
pub const NOW: i64 = 1_795_239_000;

/// A clock that stands still until it is moved.
pub fn clock() -> (Clock, Arc<AtomicI64>) {
    let seconds = Arc::new(AtomicI64::new(NOW));
    let reads = Arc::clone(&seconds);
    (Arc::new(move || Timestamp::from_second(reads.load(Ordering::SeqCst)).unwrap()), seconds)
}

pub fn resources(yaml: &str) -> Vec<Resource> {
    parse("test.yaml", yaml).unwrap()
}

/// A pool with one tenant, and a data plane.
pub fn small_set() -> Vec<Resource> {
    resources(
        r"
apiVersion: bulkhead.dev/v1
kind: Tier
metadata: { name: pool }
spec: { rateLimit: { requests: 10, burst: 20 } }
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: shared }
spec:
  region: eu-central-1
  tiers: [pool, bridge]
  endpoints: [{ address: 127.0.0.1, port: 9000 }]
---
apiVersion: bulkhead.dev/v1
kind: Model
metadata: { name: eta }
spec:
  versions:
    - version: v1
      artifact: eta.onnx
      digest: sha256:0000000000000000000000000000000000000000000000000000000000000001
      trainedOn: [org_a, org_b]
      evaluation: { rowsTrained: 10, rowsEvaluated: 5, mape: 0.08123456789012345, pooledMape: 0.1 }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_a }
spec:
  tier: pool
  dataPlane: shared
  models: [{ name: eta, model: eta, version: v1 }]
",
    )
}

/// Another tenant, with a rate limit of its own.
pub fn tenant(name: &str, requests: u32) -> Resource {
    resources(&format!(
        "
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {{ name: {name} }}
spec:
  tier: pool
  dataPlane: shared
  rateLimit: {{ requests: {requests}, burst: 5 }}
  models: [{{ name: eta, model: eta, version: v1 }}]
"
    ))
    .remove(0)
}
