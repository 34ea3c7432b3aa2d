//! The journal's tables.

use sqlx::{Row, SqlitePool, sqlite::SqliteRow};
use tenancy::Digest;

use super::{Store, Transaction};
use crate::{
    chain::{RawEntry, genesis},
    error::{ChainError, StorageError},
};

pub(crate) const STORE: Store = Store {
    name: "registry",
    schema: &[
        "CREATE TABLE journal (
            seq BIGINT PRIMARY KEY,
            at_unix_micros BIGINT NOT NULL,
            actor TEXT NOT NULL,
            kind TEXT NOT NULL,
            payload TEXT NOT NULL,
            previous_hash TEXT NOT NULL,
            hash TEXT NOT NULL
        )",
        "CREATE TABLE document (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
    ],
};

/// The entries after `after`, at most `limit`.
pub(crate) async fn entries(
    pool: &SqlitePool,
    after: u64,
    limit: i64,
) -> Result<Vec<Result<RawEntry, ChainError>>, StorageError> {
    let rows = sqlx::query(
        "SELECT seq, at_unix_micros, actor, kind, payload, previous_hash, hash
         FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2",
    )
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.iter().map(entry).collect())
}

/// The newest entries of a kind before `before`, newest first, at most `limit`.
pub(crate) async fn newest_of(
    pool: &SqlitePool,
    kind: &str,
    before: u64,
    limit: i64,
) -> Result<Vec<Result<RawEntry, ChainError>>, StorageError> {
    let rows = sqlx::query(
        "SELECT seq, at_unix_micros, actor, kind, payload, previous_hash, hash
         FROM journal WHERE kind = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3",
    )
    .bind(kind)
    .bind(i64::try_from(before).unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.iter().map(entry).collect())
}

/// The last entry's number and hash.
pub(crate) async fn head(transaction: &mut Transaction) -> Result<(u64, String), StorageError> {
    let row = sqlx::query("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(match row {
        Some(row) => (u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0), row.try_get(1)?),
        None => (0, genesis().to_string()),
    })
}

pub(crate) async fn append(
    transaction: &mut Transaction,
    entry: &RawEntry,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO journal (seq, at_unix_micros, actor, kind, payload, previous_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(i64::try_from(entry.seq).unwrap_or(i64::MAX))
    .bind(entry.at_unix_micros)
    .bind(&entry.actor)
    .bind(&entry.kind)
    .bind(&entry.payload)
    .bind(entry.previous_hash.to_string())
    .bind(entry.hash.to_string())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(crate) async fn put_document(
    pool: &SqlitePool,
    name: &str,
    body: &str,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO document (name, body) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET body = excluded.body",
    )
    .bind(name)
    .bind(body)
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) async fn document(
    pool: &SqlitePool,
    name: &str,
) -> Result<Option<String>, StorageError> {
    let row = sqlx::query("SELECT body FROM document WHERE name = $1")
        .bind(name)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// A row is evidence: whatever cannot be read in it is said, never defaulted.
fn entry(row: &SqliteRow) -> Result<RawEntry, ChainError> {
    let seq = row.try_get::<i64, _>(0).ok().and_then(|seq| u64::try_from(seq).ok());
    let number = seq.unwrap_or_default();
    let wrong =
        |error: sqlx::Error| ChainError::Unreadable { seq: number, found: error.to_string() };
    let hash = |column: usize| -> Result<Digest, ChainError> {
        let text: String = row.try_get(column).map_err(wrong)?;
        text.parse().map_err(|error: tenancy::DigestError| ChainError::Unreadable {
            seq: number,
            found: error.to_string(),
        })
    };
    Ok(RawEntry {
        seq: seq.ok_or(ChainError::Unreadable { seq: 0, found: "no number".to_owned() })?,
        at_unix_micros: row.try_get(1).map_err(wrong)?,
        actor: row.try_get(2).map_err(wrong)?,
        kind: row.try_get(3).map_err(wrong)?,
        payload: row.try_get(4).map_err(wrong)?,
        previous_hash: hash(5)?,
        hash: hash(6)?,
    })
}
