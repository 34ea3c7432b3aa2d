//! What can go wrong, and what to do about it.

use std::path::PathBuf;

use policy_model::diagnostic::Diagnostics;
use tenancy::Digest;

use crate::history::ChangeSet;

/// The database failed while the store was open.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// SQLite said so.
    #[error("the database failed: {0}; nothing of this call was kept")]
    Database(#[from] sqlx::Error),
    /// A row holds what its type does not allow.
    #[error("expected {expected} in {place}, found `{found}`; restore the file from a backup")]
    Row {
        /// Which table and column.
        place: &'static str,
        /// What the column holds when it is sound.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// Somebody else wrote to the journal.
    #[error(
        "expected the journal to end at entry {expected}, found {found}: another process writes to it; stop one and start again"
    )]
    ForeignWriter {
        /// The last entry that this process knows.
        expected: u64,
        /// The last entry there is.
        found: u64,
    },
    /// The task that wrote was stopped with the runtime.
    #[error(
        "the write was stopped with its runtime; open the store again to see whether it was kept"
    )]
    Stopped,
}

/// Why a store could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened or created.
    #[error(
        "expected to open or create {path}, found: {source}; check the folder, its permissions and the disk"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: sqlx::Error,
    },
    /// The file is damaged or no database.
    #[error(
        "expected a sound SQLite database at {path}, found: {found}; keep the file as evidence and restore a backup in its place"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// The file is the other store's.
    #[error("expected the {expected} at {path}, found the {found}; give each its own file")]
    OtherStore {
        /// The file.
        path: PathBuf,
        /// What was to be opened.
        expected: &'static str,
        /// What the file says it is.
        found: String,
    },
    /// The file was written by a newer release.
    #[error(
        "expected a store of format {expected} at most, found {found} at {path}; start the release that wrote it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format that this release writes.
        expected: i64,
        /// The file's format.
        found: i64,
    },
    /// The journal's chain is broken.
    #[error("{0}; keep the file as evidence and restore a backup in its place")]
    Chain(#[from] ChainError),
    /// An entry is sound but cannot be read.
    #[error(
        "expected to read journal entry {seq}, found: {found}; start the release that wrote it"
    )]
    Entry {
        /// The entry.
        seq: u64,
        /// What is wrong with it.
        found: String,
    },
    /// The resources no longer compile, as after an upgrade with a new rule.
    #[error(
        "expected the journal's resources to compile, found:\n{0}\nstart the release that wrote them, mend them there, then upgrade"
    )]
    Refused(Diagnostics),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The journal is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An entry is missing, or was added out of order.
    #[error(
        "expected journal entry {expected}, found entry {found}: entries were removed or added"
    )]
    Gap {
        /// The entry that should come.
        expected: u64,
        /// The entry that came.
        found: u64,
    },
    /// An entry does not follow the one before it.
    #[error("journal entry {seq} does not follow the one before it: one of them was replaced")]
    Link {
        /// The later entry.
        seq: u64,
    },
    /// An entry's content does not have the entry's hash.
    #[error("journal entry {seq} was altered: expected hash {expected}, found {found}")]
    Altered {
        /// The entry.
        seq: u64,
        /// The hash that it carries.
        expected: Digest,
        /// The hash of its content.
        found: Digest,
    },
    /// The journal ends before the entry that this process wrote last.
    #[error(
        "expected the journal to end at entry {expected}, found {found}: its end was cut off or replaced"
    )]
    End {
        /// The last entry written.
        expected: u64,
        /// The last entry there is.
        found: u64,
    },
    /// An entry cannot be read at all.
    #[error("journal entry {seq} cannot be read: {found}")]
    Unreadable {
        /// The entry, as far as it is known.
        seq: u64,
        /// What is wrong.
        found: String,
    },
}

/// Why a change was refused. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The resulting set has mistakes.
    #[error("{0}")]
    Refused(Diagnostics),
    /// Somebody changed resources since the caller looked.
    #[error(
        "expected no change since entry {expected}, found the newest at entry {found}; read again and decide with what changed"
    )]
    Stale {
        /// What the caller had seen.
        expected: u64,
        /// The newest change set.
        found: u64,
        /// What changed since, newest first; of very many, the newest.
        since: Vec<ChangeSet>,
    },
    /// The caller looked at entries that this journal does not have.
    #[error(
        "expected an entry of this journal, found {expected}, and the journal ends at {found}; is it another server's, or was it restored from a backup? read again"
    )]
    Ahead {
        /// What the caller had seen.
        expected: u64,
        /// The last entry.
        found: u64,
    },
    /// The resource to delete is not there.
    #[error("expected a resource {resource} to delete, found none")]
    NotFound {
        /// `Kind/name`.
        resource: String,
    },
    /// Everything was to be deleted.
    #[error(
        "expected at least one resource to keep, found none: pruning to nothing deletes everything; delete resources one by one where that is wanted"
    )]
    NothingToKeep,
    /// What held once does not hold by the rules of this release.
    #[error(
        "expected the resources of entry {seq} to compile by today's rules, found:\n{diagnostics}\napply them with these mended"
    )]
    Outdated {
        /// The change set whose resources they are.
        seq: u64,
        /// What is wrong with them.
        diagnostics: Diagnostics,
    },
    /// The state to look at or to go back to cannot be told.
    #[error(transparent)]
    Past(#[from] PastError),
    /// The actor's name is empty or longer than 256 bytes.
    #[error("expected an actor of 1 to 256 bytes for the audit trail, found {found}")]
    Actor {
        /// How long it is, in bytes.
        found: usize,
    },
    /// The message is longer than 1024 bytes.
    #[error("expected a message of at most 1024 bytes for the audit trail, found {found}")]
    Message {
        /// How long it is, in bytes.
        found: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why an earlier state cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// There is no such entry.
    #[error("expected an entry from 1 to {found}, where the journal ends, found {expected}")]
    NoEntry {
        /// The entry asked for.
        expected: u64,
        /// The last entry.
        found: u64,
    },
    /// No revision of this name is in the journal.
    #[error(
        "expected a revision of the journal, in full or its first 8 digits or more, found `{revision}`; the history names those that there are"
    )]
    NoRevision {
        /// What was asked for.
        revision: String,
    },
    /// More than one revision begins so.
    #[error(
        "expected enough of a revision to tell it, found `{revision}`, which is {one} or {other}"
    )]
    Ambiguous {
        /// What was asked for.
        revision: String,
        /// What it may be.
        one: String,
        /// What it may be too.
        other: String,
    },
    /// An entry cannot be read by this release.
    #[error("expected to read journal entry {seq}, found: {found}")]
    Unreadable {
        /// The entry.
        seq: u64,
        /// What is wrong with it.
        found: String,
    },
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
