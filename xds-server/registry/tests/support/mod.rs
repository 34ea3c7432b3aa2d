//! Resources and clocks that several tests use.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use policy_model::spec::{Resource, parse};
use registry::Clock;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tenancy::Digest;

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

/// Appends entries as a release without change sets did, `minutes` after the clock's start.
pub async fn append(path: &Path, events: &[(&str, &str)], minutes: i64) {
    let url = format!("sqlite://{}", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for (kind, payload) in events {
        let last = sqlx::query("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let (seq, previous): (i64, String) = (last.get::<i64, _>(0) + 1, last.get(1));
        let at = (NOW + minutes * 60) * 1_000_000;
        let mut hash = Sha256::new();
        hash.update(previous.parse::<Digest>().unwrap().as_bytes());
        hash.update(u64::try_from(seq).unwrap().to_be_bytes());
        hash.update(at.to_be_bytes());
        for text in ["operator", kind, payload] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        let hash = Digest::from_bytes(hash.finalize().into());
        sqlx::query("INSERT INTO journal VALUES ($1, $2, 'operator', $3, $4, $5, $6)")
            .bind(seq)
            .bind(at)
            .bind(*kind)
            .bind(*payload)
            .bind(&previous)
            .bind(hash.to_string())
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}
