//! Segment files: their names, and where their damaged bytes are kept.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::disk;

const SUFFIX: &str = ".wal";

/// A segment as the running log knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// How many of its bytes, from its start, are durable. Nothing behind them is read.
    pub durable_bytes: u64,
    /// The number after its last durable event.
    pub end: u64,
}

/// The name of the segment whose first event is `first`: zero-padded, so that names sort.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The path of that segment.
pub(crate) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(file_name(first))
}

/// The segments of a directory by the number of their first event.
pub(crate) fn list(directory: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::parse::<u64>);
        if let Some(Ok(first)) = first
            && name.to_str() == Some(&file_name(first))
        {
            segments.insert(first, entry.path());
        }
    }
    Ok(segments)
}

/// Keeps damaged bytes in a file of their own, for whoever has to find out what they were. Says
/// where, and whether they were not kept there already.
pub(crate) fn quarantine(
    directory: &Path,
    first: u64,
    offset: u64,
    bytes: &[u8],
) -> io::Result<(PathBuf, bool)> {
    let name = format!("{}.{offset}.corrupt", file_name(first));
    let path = directory.join(&name);
    if fs::metadata(&path).is_ok_and(|kept| kept.len() == bytes.len() as u64) {
        return Ok((path, false));
    }
    disk::replace(directory, &name, bytes)?;
    Ok((path, true))
}
