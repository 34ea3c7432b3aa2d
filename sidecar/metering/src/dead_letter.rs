//! Events that the receiver refuses: kept on the disk, one JSON object a line, until someone
//! has found out why.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use crate::{disk, event::UsageEvent};

/// The file in the log's directory.
pub(crate) const NAME: &str = "dead-letter.jsonl";

#[derive(Serialize)]
struct Line<'a> {
    event: &'a UsageEvent,
    status: u16,
    detail: &'a str,
}

/// Adds an event, durably. A crash before the cursor moves makes it be added twice; its id tells.
pub(crate) fn append(
    directory: &Path,
    event: &UsageEvent,
    status: u16,
    detail: &str,
) -> io::Result<()> {
    // A line of its own even where a crash has cut the one before.
    let mut line = b"\n".to_vec();
    serde_json::to_writer(&mut line, &Line { event, status, detail })?;
    let path = directory.join(NAME);
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    if file.metadata()?.len() == 0 {
        line.remove(0);
    }
    file.write_all(&line)?;
    file.sync_data()?;
    disk::sync_directory(directory)
}
