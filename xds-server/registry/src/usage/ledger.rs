//! The ledger of usage.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::SqlitePool;
use tenancy::{Digest, TenantId};

use super::{
    Granularity, Period, Quarantined, Reconciliation, UsageEvent, UsageQuery, UsageRecord,
    event::{self, Countable, MICROS_PER_HOUR},
};
use crate::{
    clock::{Clock, system_clock},
    error::{OpenError, StorageError},
    sql::{
        self,
        usage::{HourKey, HourSum},
    },
};

/// What became of a batch: every event of it is in exactly one of the three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Counted now.
    pub new: u64,
    /// Counted before, or earlier in the same batch.
    pub duplicates: u64,
    /// Not believed: kept in quarantine with the reason, and counted nowhere.
    pub quarantined: u64,
}

/// The ledger of usage. Clones share one store.
#[derive(Clone)]
pub struct Ledger {
    pool: SqlitePool,
    clock: Clock,
}

impl Ledger {
    /// Opens the ledger at `path`, or starts one.
    ///
    /// # Errors
    /// [`OpenError`]; the file is left as it is.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with_clock(path, system_clock()).await
    }

    /// Like [`Ledger::open`], with another clock.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub async fn open_with_clock(path: impl AsRef<Path>, clock: Clock) -> Result<Self, OpenError> {
        let pool = sql::open(path.as_ref(), &sql::usage::STORE).await?;
        Ok(Self { pool, clock })
    }

    /// Records a batch in one transaction: after `Ok` all of it is on disk, after an error none.
    /// Sending it again counts nothing again.
    ///
    /// An event that cannot be believed does not hold up its batch: it goes to quarantine with
    /// the reason, and the sender may forget it. So does an id seen before that now names another
    /// tenant, metric or quantity; what was counted first stays.
    ///
    /// # Errors
    /// [`StorageError`]; send the whole batch again.
    pub async fn record(&self, events: &[UsageEvent]) -> Result<Recorded, StorageError> {
        let read = |event: &UsageEvent| (serde_json::json!(event), Ok(event.clone()));
        self.record_read(events.iter().map(read).collect()).await
    }

    /// Like [`Ledger::record`], for a batch as it came: what is no event at all is quarantined
    /// too.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn record_json(&self, events: &[Value]) -> Result<Recorded, StorageError> {
        let read = |json: &Value| (json.clone(), event::read(json));
        self.record_read(events.iter().map(read).collect()).await
    }

    async fn record_read(
        &self,
        batch: Vec<(Value, Result<UsageEvent, String>)>,
    ) -> Result<Recorded, StorageError> {
        let now = (self.clock)();
        let mut recorded = Recorded::default();
        let mut sums: BTreeMap<HourKey, HourSum> = BTreeMap::new();
        let mut transaction = sql::begin(&self.pool).await?;
        for (json, event) in batch {
            let verdict = match event.and_then(|event| event::check(event, now)) {
                Ok(event) => count(&mut transaction, &event, &mut sums).await?,
                Err(reason) => Verdict::Refused(reason),
            };
            match verdict {
                Verdict::New => recorded.new += 1,
                Verdict::Duplicate => recorded.duplicates += 1,
                Verdict::Refused(reason) => {
                    recorded.quarantined += 1;
                    sql::usage::quarantine(&mut transaction, &json, &reason, now).await?;
                }
            }
        }
        for (key, sum) in &sums {
            sql::usage::add_to_hour(&mut transaction, key, *sum).await?;
        }
        transaction.commit().await?;
        Ok(recorded)
    }

    /// Usage, sorted by tenant, then by time.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRecord>, StorageError> {
        let tenant = query.tenant.as_ref().map(TenantId::as_str);
        let (from, to) = hours(query.period);
        let rows = sql::usage::hours(&self.pool, tenant, from, to).await?;
        Ok(summed(rows, query.granularity))
    }

    /// Sums the events and the hourly records of a period, each on its own, at one instant.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn reconcile(
        &self,
        tenant: Option<&TenantId>,
        period: Period,
    ) -> Result<Reconciliation, StorageError> {
        let (from, to) = hours(period);
        sql::usage::reconcile(&self.pool, tenant.map(TenantId::as_str), from, to).await
    }

    /// The events that were not counted, the newest first.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn quarantine(&self, limit: usize) -> Result<Vec<Quarantined>, StorageError> {
        sql::usage::quarantined(&self.pool, i64::try_from(limit).unwrap_or(i64::MAX)).await
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

enum Verdict {
    New,
    Duplicate,
    Refused(String),
}

/// Marks the event as seen and, where it is new, keeps it and adds it to `sums`.
async fn count(
    transaction: &mut sql::Transaction,
    event: &Countable,
    sums: &mut BTreeMap<HourKey, HourSum>,
) -> Result<Verdict, StorageError> {
    let says = Digest::of(
        serde_json::json!([event.event.tenant, event.event.metric, event.event.quantity])
            .to_string()
            .as_bytes(),
    )
    .hex();
    if let Some(said) = sql::usage::see(transaction, event, &says).await? {
        return Ok(if said == says {
            Verdict::Duplicate
        } else {
            Verdict::Refused(format!(
                "expected event {} to say what it said before, found another tenant, metric or quantity",
                event.event.id
            ))
        });
    }
    sql::usage::keep(transaction, event).await?;
    let sum = sums.entry(HourKey::of(event)).or_default();
    sum.quantity += event.quantity;
    sum.events += 1;
    Ok(Verdict::New)
}

/// The hours that start within the period.
fn hours(period: Period) -> (i64, i64) {
    let first = |at: Timestamp| {
        at.as_microsecond().saturating_add(MICROS_PER_HOUR - 1).div_euclid(MICROS_PER_HOUR)
    };
    (first(period.start), first(period.end))
}

fn summed(rows: Vec<(HourKey, HourSum)>, granularity: Granularity) -> Vec<UsageRecord> {
    let mut records: BTreeMap<(String, Timestamp, HourKey), HourSum> = BTreeMap::new();
    for (key, sum) in rows {
        let at = Timestamp::from_second(key.hour.saturating_mul(3_600)).unwrap_or_default();
        let start = granularity.start_of(at);
        let key = HourKey { hour: 0, ..key };
        let total = records.entry((key.tenant.clone(), start, key)).or_default();
        total.quantity = total.quantity.saturating_add(sum.quantity);
        total.events = total.events.saturating_add(sum.events);
    }
    let record =
        |((tenant, period_start, key), sum): ((String, Timestamp, HourKey), HourSum)| UsageRecord {
            tenant,
            period_start,
            metric: key.metric,
            model: key.model,
            version: key.version,
            data_plane: key.data_plane,
            region: key.region,
            quantity: sum.quantity.unsigned_abs(),
            events: sum.events.unsigned_abs(),
        };
    records.into_iter().map(record).collect()
}
