//! Looking back: the history of change sets, and the state at an earlier entry.

use sqlx::SqlitePool;

use crate::{
    chain::{RawEntry, Walk},
    error::{ChainError, OpenError, PastError, StorageError},
    event::{CHANGE_SET_COMMITTED, Event, REVISION_PUBLISHED},
    history::ChangeSet,
    sql,
    state::State,
};

/// How many entries are read at once.
pub(crate) const PAGE: i64 = 1_000;

/// The fewest digits of a revision that name it.
const FEWEST_DIGITS: usize = 8;

/// The change sets before entry `before`, newest first. `unmarked` are those that an older release
/// wrote, oldest first: all of them come before the first that says what it is.
pub(crate) async fn change_sets(
    pool: &SqlitePool,
    unmarked: &[ChangeSet],
    before: u64,
    limit: usize,
) -> Result<Vec<ChangeSet>, StorageError> {
    let at_most = i64::try_from(limit).unwrap_or(PAGE).min(PAGE);
    let mut sets = Vec::new();
    for raw in sql::journal::newest_of(pool, CHANGE_SET_COMMITTED, before, at_most).await? {
        let raw = raw.map_err(|error| unreadable(&error))?;
        let set = ChangeSet::of(&raw).map_err(|found| malformed(&raw, found))?;
        sets.extend(set);
    }
    let older = unmarked.iter().rev().filter(|set| set.seq < before);
    sets.extend(older.take(limit.saturating_sub(sets.len())).cloned());
    Ok(sets)
}

/// The state that the newest change set at or before entry `seq` made. What the resources mean is
/// left out: it need not compile by the rules of this release.
pub(crate) async fn state_at(
    pool: &SqlitePool,
    unmarked: &[ChangeSet],
    seq: u64,
) -> Result<State, PastError> {
    let newest = change_sets(pool, unmarked, seq.saturating_add(1), 1).await?;
    let until = newest.first().map_or(0, |set| set.seq);
    let (mut state, mut after) = (State::default(), 0);
    while after < until {
        let page = sql::journal::entries(pool, after, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for raw in page {
            let raw = raw.map_err(|error| PastError::Storage(unreadable(&error)))?;
            if raw.seq > until {
                return Ok(state);
            }
            after = raw.seq;
            Event::read(&raw.kind, &raw.payload)
                .and_then(|event| state.fold(raw.seq, &raw.actor, event))
                .map_err(|found| PastError::Unreadable { seq: raw.seq, found })?;
        }
    }
    Ok(state)
}

/// The newest entry that names a revision of the gate's table that begins with `prefix`.
pub(crate) async fn revision(pool: &SqlitePool, prefix: &str) -> Result<u64, PastError> {
    let unknown = || PastError::NoRevision { revision: prefix.chars().take(80).collect() };
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !digits || prefix.len() < FEWEST_DIGITS || prefix.len() > 64 {
        return Err(unknown());
    }
    let mut found: Option<(u64, String)> = None;
    for kind in [CHANGE_SET_COMMITTED, REVISION_PUBLISHED] {
        for (seq, revision) in revisions(pool, kind, prefix).await? {
            match &mut found {
                None => found = Some((seq, revision)),
                Some((newest, known)) if *known == revision => *newest = seq.max(*newest),
                Some((_, known)) => {
                    return Err(PastError::Ambiguous {
                        revision: prefix.to_owned(),
                        one: known.clone(),
                        other: revision,
                    });
                }
            }
        }
    }
    found.map(|(seq, _)| seq).ok_or_else(unknown)
}

/// Every entry of a kind that names a revision which begins so, newest first.
async fn revisions(
    pool: &SqlitePool,
    kind: &str,
    prefix: &str,
) -> Result<Vec<(u64, String)>, StorageError> {
    let (mut found, mut before) = (Vec::new(), u64::MAX);
    loop {
        let page = sql::journal::newest_of(pool, kind, before, PAGE).await?;
        if page.is_empty() {
            return Ok(found);
        }
        for raw in page {
            let raw = raw.map_err(|error| unreadable(&error))?;
            before = raw.seq;
            let event = Event::read(&raw.kind, &raw.payload);
            let named = match event.map_err(|found| malformed(&raw, found))? {
                Event::ChangeSetCommitted(event) => event.revision,
                Event::RevisionPublished(event) => Some(event.revision),
                _ => None,
            };
            found.extend(named.filter(|it| it.starts_with(prefix)).map(|it| (raw.seq, it)));
        }
    }
}

/// Reads the journal page by page, checks the chain and gives each entry to `take`.
pub(crate) async fn read_all(
    pool: &SqlitePool,
    walk: &mut Walk,
    mut take: impl FnMut(&RawEntry) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    loop {
        let (seq, _) = walk.end();
        let page = sql::journal::entries(pool, seq, PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        for entry in page {
            let entry = entry?;
            walk.step(&entry)?;
            take(&entry)?;
        }
    }
}

pub(crate) fn unreadable(error: &ChainError) -> StorageError {
    StorageError::Row {
        place: "the journal",
        expected: "an entry that can be read",
        found: error.to_string(),
    }
}

fn malformed(raw: &RawEntry, found: String) -> StorageError {
    StorageError::Row {
        place: "the journal",
        expected: "an event that can be read",
        found: format!("entry {}: {found}", raw.seq),
    }
}
