//! What was metered: in the control plane's ledger, and on its way there.

use anyhow::{Context as _, Result, ensure};
use devstack::{http, stack::Stack, until};
use serde_json::Value;

use super::edge::PATIENCE;

/// What the ledger holds for a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metered {
    /// Events.
    pub events: u64,
    /// Rows predicted, over all events.
    pub rows: u64,
}

impl Metered {
    /// So many requests of so many rows each.
    pub const fn requests(requests: usize, rows: usize) -> Self {
        Self { events: requests as u64, rows: (requests * rows) as u64 }
    }
}

/// The ledger of a stack that was started new, over the months that a test may touch.
#[derive(Debug)]
pub struct Ledger {
    admin: String,
    since: jiff::Timestamp,
}

impl Ledger {
    /// The ledger of a stack that starts about now.
    pub fn of(stack: &Stack) -> Self {
        Self { admin: stack.admin_url(), since: jiff::Timestamp::now() }
    }

    /// What `GET /v1/usage` says of a tenant, after checking that `GET /v1/usage/reconcile` finds
    /// the same in the raw events and nothing in quarantine.
    ///
    /// # Errors
    /// Where the two do not agree, or the control plane does not answer.
    pub async fn metered(&self, tenant: &str) -> Result<Metered> {
        let mut all = Metered::default();
        for period in self.months() {
            let asked = format!("tenant={tenant}&period={period}");
            let found = self.at_rest(&asked).await?;
            all.events += found.events;
            all.rows += found.rows;
        }
        Ok(all)
    }

    /// What both say of this, once no event came between the two answers.
    async fn at_rest(&self, asked: &str) -> Result<Metered> {
        until("usage to be at rest", PATIENCE, async || {
            let before = self.usage(asked).await?;
            let kept = self.get(&format!("/v1/usage/reconcile?{asked}")).await?;
            ensure!(kept["agrees"] == true, "{asked}: {kept}");
            ensure!(kept["found"]["quarantined"] == 0, "events in quarantine: {kept}");
            if self.usage(asked).await? != before {
                return Ok(None);
            }
            let raw = &kept["found"];
            let raw = Metered {
                events: number(&raw["raw_events"])?,
                rows: number(&raw["raw_quantity"])?,
            };
            ensure!(raw == before, "{asked}: {before:?}, but {kept}");
            Ok(Some(before))
        })
        .await
    }

    async fn usage(&self, asked: &str) -> Result<Metered> {
        let usage = self.get(&format!("/v1/usage?{asked}")).await?;
        Ok(Metered { events: number(&usage["events"])?, rows: number(&usage["total"])? })
    }

    /// The usage records of a tenant, as `GET /v1/usage` lists them.
    ///
    /// # Errors
    /// Where the control plane does not answer.
    pub async fn records(&self, tenant: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        for period in self.months() {
            let usage = self.get(&format!("/v1/usage?tenant={tenant}&period={period}")).await?;
            all.extend(usage["records"].as_array().context("no records")?.clone());
        }
        Ok(all)
    }

    /// The months from the start until now, UTC. Two, where the test runs over midnight of the
    /// last day of one.
    fn months(&self) -> Vec<String> {
        let month = |at: jiff::Timestamp| at.strftime("%Y-%m").to_string();
        let mut months = vec![month(self.since), month(jiff::Timestamp::now())];
        months.dedup();
        months
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = http::get(&format!("{}{path}", self.admin)).await?;
        ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text());
        answer.json()
    }
}

/// How many events of a data plane's sidecar are on its disk and nowhere else.
///
/// # Errors
/// Where its metrics cannot be read.
pub async fn unshipped(stack: &Stack, plane: &str) -> Result<u64> {
    metric(stack, plane, "bulkhead_sidecar_usage_backlog_events").await
}

/// Waits until every sidecar has handed over all its events.
///
/// # Errors
/// Where they do not, for a long time.
pub async fn drained(stack: &Stack) -> Result<()> {
    for plane in stack.planes() {
        let name = plane.spec().id.as_str();
        let what = format!("the sidecar of {name} to hand over its events");
        let waited =
            until(&what, PATIENCE, async || Ok((unshipped(stack, name).await? == 0).then_some(())));
        waited.await.with_context(|| plane.sidecar().log_tail(10))?;
    }
    Ok(())
}

/// A number of a sidecar's metrics; 0 where it counts something that has not happened.
///
/// # Errors
/// Where its metrics cannot be read.
pub async fn metric(stack: &Stack, plane: &str, name: &str) -> Result<u64> {
    let answer = http::get(&stack.plane(plane)?.metrics_url()).await?;
    let text = answer.text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    ensure!(answer.status.is_success() && text.contains("bulkhead_sidecar_"), "found `{text}`");
    value.map_or(Ok(0), |value| value.parse().with_context(|| format!("{name} {value}")))
}

fn number(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("expected a number, found {value}"))
}
