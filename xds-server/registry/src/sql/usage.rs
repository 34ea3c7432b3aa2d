//! The ledger's tables.
//!
//! `seen_event` is apart from `usage_event` so that events can be thrown away when their time has
//! come and a late replay is still recognised. An hour is a whole number of hours since
//! 1970-01-01T00:00:00Z.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Row, SqlitePool};
use tenancy::Digest;

use super::{Store, Transaction};
use crate::{
    error::StorageError,
    usage::{Countable, Quarantined, Reconciliation},
};

pub(crate) const STORE: Store = Store {
    name: "usage ledger",
    schema: &[
        "CREATE TABLE seen_event (id TEXT PRIMARY KEY, says TEXT NOT NULL, hour BIGINT NOT NULL)",
        "CREATE TABLE usage_event (
            id TEXT PRIMARY KEY,
            tenant TEXT NOT NULL,
            metric TEXT NOT NULL,
            quantity BIGINT NOT NULL,
            model TEXT NOT NULL,
            version TEXT NOT NULL,
            data_plane TEXT NOT NULL,
            region TEXT NOT NULL,
            at_unix_micros BIGINT NOT NULL,
            latency_micros BIGINT NOT NULL,
            hour BIGINT NOT NULL
        )",
        "CREATE INDEX usage_event_by_hour ON usage_event (hour, tenant)",
        "CREATE TABLE usage_hour (
            tenant TEXT NOT NULL,
            hour BIGINT NOT NULL,
            metric TEXT NOT NULL,
            model TEXT NOT NULL,
            version TEXT NOT NULL,
            data_plane TEXT NOT NULL,
            region TEXT NOT NULL,
            quantity BIGINT NOT NULL,
            events BIGINT NOT NULL,
            PRIMARY KEY (tenant, hour, metric, model, version, data_plane, region)
        )",
        "CREATE TABLE quarantine (
            digest TEXT PRIMARY KEY,
            reason TEXT NOT NULL,
            event TEXT NOT NULL,
            received_unix_micros BIGINT NOT NULL
        )",
    ],
};

/// What usage is summed by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HourKey {
    pub(crate) tenant: String,
    pub(crate) hour: i64,
    pub(crate) metric: String,
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) data_plane: String,
    pub(crate) region: String,
}

/// How much of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HourSum {
    pub(crate) quantity: i64,
    pub(crate) events: i64,
}

impl HourKey {
    pub(crate) fn of(event: &Countable) -> Self {
        Self {
            tenant: event.event.tenant.to_string(),
            hour: event.hour,
            metric: event.event.metric.clone(),
            model: event.event.model.to_string(),
            version: event.event.version.to_string(),
            data_plane: event.event.data_plane.to_string(),
            region: event.event.region.clone(),
        }
    }
}

/// Marks the event's id as seen. Where it was seen before: what it said then.
pub(crate) async fn see(
    transaction: &mut Transaction,
    event: &Countable,
    says: &str,
) -> Result<Option<String>, StorageError> {
    let id = event.event.id.to_string();
    let inserted = sqlx::query(
        "INSERT INTO seen_event (id, says, hour) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
    )
    .bind(&id)
    .bind(says)
    .bind(event.hour)
    .execute(&mut **transaction)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query("SELECT says FROM seen_event WHERE id = $1")
        .bind(&id)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(Some(row.try_get(0)?))
}

/// Keeps the event as evidence.
pub(crate) async fn keep(
    transaction: &mut Transaction,
    event: &Countable,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO usage_event (id, tenant, metric, quantity, model, version, data_plane,
            region, at_unix_micros, latency_micros, hour)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(event.event.id.to_string())
    .bind(event.event.tenant.as_str())
    .bind(&event.event.metric)
    .bind(event.quantity)
    .bind(event.event.model.as_str())
    .bind(event.event.version.as_str())
    .bind(event.event.data_plane.as_str())
    .bind(&event.event.region)
    .bind(event.at_unix_micros)
    .bind(event.latency_micros)
    .bind(event.hour)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(crate) async fn add_to_hour(
    transaction: &mut Transaction,
    key: &HourKey,
    sum: HourSum,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO usage_hour (tenant, hour, metric, model, version, data_plane, region,
            quantity, events)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (tenant, hour, metric, model, version, data_plane, region) DO UPDATE SET
            quantity = usage_hour.quantity + excluded.quantity,
            events = usage_hour.events + excluded.events",
    )
    .bind(&key.tenant)
    .bind(key.hour)
    .bind(&key.metric)
    .bind(&key.model)
    .bind(&key.version)
    .bind(&key.data_plane)
    .bind(&key.region)
    .bind(sum.quantity)
    .bind(sum.events)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Keeps an event that is not counted, once.
pub(crate) async fn quarantine(
    transaction: &mut Transaction,
    event: &Value,
    reason: &str,
    now: Timestamp,
) -> Result<(), StorageError> {
    let event = event.to_string();
    sqlx::query(
        "INSERT INTO quarantine (digest, reason, event, received_unix_micros)
         VALUES ($1, $2, $3, $4) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(Digest::of(event.as_bytes()).to_string())
    .bind(reason)
    .bind(&event)
    .bind(now.as_microsecond())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The sums of the hours from `from` up to and without `to`.
pub(crate) async fn hours(
    pool: &SqlitePool,
    tenant: Option<&str>,
    from: i64,
    to: i64,
) -> Result<Vec<(HourKey, HourSum)>, StorageError> {
    let rows = sqlx::query(
        "SELECT tenant, hour, metric, model, version, data_plane, region, quantity, events
         FROM usage_hour
         WHERE hour >= $1 AND hour < $2 AND (CAST($3 AS TEXT) IS NULL OR tenant = $3)",
    )
    .bind(from)
    .bind(to)
    .bind(tenant)
    .fetch_all(pool)
    .await?;
    let read = |row: &sqlx::sqlite::SqliteRow| -> Result<_, sqlx::Error> {
        let key = HourKey {
            tenant: row.try_get(0)?,
            hour: row.try_get(1)?,
            metric: row.try_get(2)?,
            model: row.try_get(3)?,
            version: row.try_get(4)?,
            data_plane: row.try_get(5)?,
            region: row.try_get(6)?,
        };
        Ok((key, HourSum { quantity: row.try_get(7)?, events: row.try_get(8)? }))
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// One statement, so that all sums are of the same instant.
pub(crate) async fn reconcile(
    pool: &SqlitePool,
    tenant: Option<&str>,
    from: i64,
    to: i64,
) -> Result<Reconciliation, StorageError> {
    let row = sqlx::query(
        "SELECT raw.events, raw.quantity, summed.events, summed.quantity, held.events
         FROM (SELECT COUNT(*) AS events, COALESCE(SUM(quantity), 0) AS quantity FROM usage_event
               WHERE hour >= $1 AND hour < $2 AND (CAST($3 AS TEXT) IS NULL OR tenant = $3)) AS raw,
              (SELECT COALESCE(SUM(events), 0) AS events, COALESCE(SUM(quantity), 0) AS quantity
               FROM usage_hour
               WHERE hour >= $1 AND hour < $2 AND (CAST($3 AS TEXT) IS NULL OR tenant = $3)) AS summed,
              (SELECT COUNT(*) AS events FROM quarantine) AS held",
    )
    .bind(from)
    .bind(to)
    .bind(tenant)
    .fetch_one(pool)
    .await?;
    let number = |column: usize| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(Reconciliation {
        raw_events: number(0)?,
        raw_quantity: number(1)?,
        aggregated_events: number(2)?,
        aggregated_quantity: number(3)?,
        quarantined: number(4)?,
    })
}

pub(crate) async fn quarantined(
    pool: &SqlitePool,
    limit: i64,
) -> Result<Vec<Quarantined>, StorageError> {
    let rows = sqlx::query(
        "SELECT digest, reason, event, received_unix_micros FROM quarantine
         ORDER BY received_unix_micros DESC, digest LIMIT $1",
    )
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let read = |row: &sqlx::sqlite::SqliteRow| -> Result<Quarantined, StorageError> {
        let (digest, event): (String, String) = (row.try_get(0)?, row.try_get(2)?);
        let wrong = |expected, found| StorageError::Row { place: "quarantine", expected, found };
        Ok(Quarantined {
            digest: digest.parse().map_err(|_| wrong("a digest", digest))?,
            reason: row.try_get(1)?,
            event: serde_json::from_str(&event).map_err(|_| wrong("JSON", event))?,
            received_at: Timestamp::from_microsecond(row.try_get(3)?).unwrap_or_default(),
        })
    };
    rows.iter().map(read).collect()
}
