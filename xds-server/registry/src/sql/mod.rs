//! All the SQL there is. It keeps to what SQLite and PostgreSQL both understand, except in this
//! file, which opens SQLite.

pub(crate) mod journal;
pub(crate) mod usage;

use std::{path::Path, time::Duration};

use sqlx::{
    Row, SqlitePool,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};

use crate::error::{OpenError, StorageError};

/// Takes the write lock at once: a transaction that reads first and writes later could otherwise
/// be refused in its middle.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// How long a writer waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The format that this release writes.
const FORMAT: i64 = 1;

pub(crate) type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

/// What a file is to hold.
pub(crate) struct Store {
    /// Its name, for people.
    pub(crate) name: &'static str,
    /// Its tables.
    pub(crate) schema: &'static [&'static str],
}

/// Opens or creates the file, checks that it is sound and that it is this store's.
pub(crate) async fn open(path: &Path, store: &Store) -> Result<SqlitePool, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // In WAL mode anything less than FULL may lose the last commits when power fails.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(BUSY_TIMEOUT * 3)
        .connect_with(options)
        .await
        .map_err(|source| unopened(path, source))?;
    let checked = check(&pool, path, store).await;
    if checked.is_err() {
        pool.close().await;
    }
    checked.map(|()| pool)
}

pub(crate) async fn begin(pool: &SqlitePool) -> Result<Transaction, StorageError> {
    Ok(pool.begin_with(BEGIN).await?)
}

async fn check(pool: &SqlitePool, path: &Path, store: &Store) -> Result<(), OpenError> {
    let unsound = |source| unopened(path, source);
    let verdict: String = sqlx::query("PRAGMA quick_check(1)")
        .fetch_one(pool)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(unsound)?;
    if verdict != "ok" {
        return Err(OpenError::Damaged { path: path.to_owned(), found: verdict });
    }
    let mut transaction = begin(pool).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS store (name TEXT NOT NULL, format BIGINT NOT NULL)")
        .execute(&mut *transaction)
        .await
        .map_err(unsound)?;
    let found = sqlx::query("SELECT name, format FROM store")
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unsound)?;
    let says = |row: SqliteRow| -> Result<(String, i64), sqlx::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?))
    };
    match found.map(says).transpose().map_err(unsound)? {
        Some((name, _)) if name != store.name => {
            return Err(OpenError::OtherStore {
                path: path.to_owned(),
                expected: store.name,
                found: name,
            });
        }
        Some((_, format)) if format > FORMAT => {
            return Err(OpenError::Newer {
                path: path.to_owned(),
                expected: FORMAT,
                found: format,
            });
        }
        Some(_) => {}
        None => {
            for statement in store.schema {
                sqlx::query(*statement).execute(&mut *transaction).await.map_err(unsound)?;
            }
            sqlx::query("INSERT INTO store (name, format) VALUES ($1, $2)")
                .bind(store.name)
                .bind(FORMAT)
                .execute(&mut *transaction)
                .await
                .map_err(unsound)?;
        }
    }
    transaction.commit().await.map_err(unsound)
}

/// SQLite tells a damaged file from one that cannot be read by its result code
/// (<https://www.sqlite.org/rescode.html>): 11 is `SQLITE_CORRUPT`, 26 is `SQLITE_NOTADB`; the
/// low byte of an extended code is the plain one.
fn unopened(path: &Path, source: sqlx::Error) -> OpenError {
    let code = source
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<i64>().ok());
    match code.map(|code| code & 0xff) {
        Some(11 | 26) => OpenError::Damaged { path: path.to_owned(), found: source.to_string() },
        _ => OpenError::File { path: path.to_owned(), source },
    }
}
