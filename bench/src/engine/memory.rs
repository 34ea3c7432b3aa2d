//! What a process holds in memory, by whose it is.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What is resident, in KiB. Pages of files count for every process that maps them, and are the
/// kernel's to take back; anonymous ones are the process's own.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) anon_kib: u64,
    pub(crate) file_kib: u64,
}

impl Memory {
    /// Of this process.
    pub(crate) fn now() -> Result<Self> {
        Ok(Self { anon_kib: status("RssAnon")?, file_kib: status("RssFile")? })
    }

    /// What was added since `before`, for each of `count`, in KiB: anonymous, and of files.
    pub(crate) fn each_since(&self, before: &Self, count: usize) -> (f64, f64) {
        let each = |now: u64, before: u64| (now as f64 - before as f64) / count.max(1) as f64;
        (each(self.anon_kib, before.anon_kib), each(self.file_kib, before.file_kib))
    }
}

/// A number of KiB in `/proc/self/status`.
pub(crate) fn status(key: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .with_context(|| format!("expected {key} in /proc/self/status"))
}

/// How many mappings this process has of files below `folder`.
pub(crate) fn mappings_below(folder: &Path) -> Result<usize> {
    let folder = folder.canonicalize()?.to_string_lossy().into_owned();
    Ok(fs::read_to_string("/proc/self/maps")?.lines().filter(|line| line.contains(&folder)).count())
}

/// How many files this process has open.
pub(crate) fn open_files() -> Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}
